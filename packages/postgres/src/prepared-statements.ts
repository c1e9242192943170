import { hash } from 'node:crypto'
import type { ClientBase } from 'pg'
import type { Columns } from './query-rows.ts'
import { RecentMap } from './recent-map.ts'

/** Named statements a connection keeps; the server holds a plan for each of them. */
const MAX_STATEMENTS = 128

/**
 * A longer text, such as an insert of many rows, is mostly sent once: to keep it, here and with its plan on the server,
 * costs more than it saves.
 */
const MAX_PREPARED_LENGTH = 20_000

const MAX_HASHES = 4_000
const hashes = new RecentMap<string, string>(MAX_HASHES)

/**
 * The name of a text as a prepared statement: 132 bits of its SHA-256, so one name never stands for two texts, not
 * even behind a pooler that hands one server connection to several clients.
 *
 * @param schema under whose search path it is planned, if that is not the session's own.
 * @returns an empty name, under which nothing is kept, for a text that is too long to be worth it.
 */
export function statementName(text: string, schema?: string): string {
  if (text.length > MAX_PREPARED_LENGTH) return ''
  return schema === undefined ? `fh_${shortHash(text)}` : `fh_${shortHash(text)}_${shortHash(schema)}`
}

function shortHash(text: string): string {
  let short = hashes.get(text)
  if (short === undefined) {
    short = hash('sha256', text, 'base64url').slice(0, 22)
    hashes.set(text, short)
  }
  return short
}

/**
 * The named statements that the server side of one connection has, as far as the server has said so, and the columns
 * that each returns. What is not in here may exist all the same (its Parse was answered by an error further on,
 * say), so whoever parses a name closes it first; closing what does not exist is no error.
 */
export class PreparedStatements {
  /** In order of use, the least recently used first. */
  readonly #columns = new Map<string, Columns | null>()
  #evicted: string[] = []

  /** @returns the columns of a statement that the server has; null when they are not known. */
  columns(name: string): Columns | null | undefined {
    return this.#columns.get(name)
  }

  /**
   * Records that the server has the statement and has just used it.
   *
   * @param columns what it returns; null when that is not known, or not sure to stay.
   */
  confirm(name: string, columns: Columns | null): void {
    this.#columns.delete(name)
    this.#columns.set(name, columns)
    if (this.#columns.size <= MAX_STATEMENTS) return
    for (const oldest of this.#columns.keys()) {
      this.#columns.delete(oldest)
      this.#evicted.push(oldest)
      return
    }
  }

  /**
   * Statements to close, until {@link evictedAreClosed}. Close them before anything that may fail: the server skips what
   * follows an error.
   */
  get evicted(): readonly string[] {
    return this.#evicted
  }

  evictedAreClosed(): void {
    if (this.#evicted.length > 0) this.#evicted = []
  }

  forget(name: string): void {
    this.#columns.delete(name)
  }

  clear(): void {
    this.#columns.clear()
    this.#evicted = []
  }
}

const byClient = new WeakMap<ClientBase, PreparedStatements>()

/** The statements of a client. Clear them after anything that drops them on the server, as DISCARD ALL does. */
export function preparedStatements(client: ClientBase): PreparedStatements {
  let statements = byClient.get(client)
  if (!statements) {
    statements = new PreparedStatements()
    byClient.set(client, statements)
  }
  return statements
}
