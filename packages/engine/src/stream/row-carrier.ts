import pg from 'pg'
import type { Key } from './change-stream.ts'
import type { TableStatements, TextRow } from './table-statements.ts'

/** Keys that are worked on at the same time. */
export const PAGE_KEYS = 1_000
/** When rows that are on their way come to so much, no more are read until some have arrived. */
const MOST_HELD_BYTES = 4 * 1024 * 1024
/** What a row takes on its way beside its values. */
const ROW_COST = 1_024

/** Puts a row of a table to the target. */
export type PutRow = (row: pg.QueryConfig, of: TableStatements) => Promise<unknown>

/**
 * Carries rows from one server to the other. What is held here is bounded in bytes, whatever the rows' size: beyond that the
 * reader's connection is not read from, so one row more than fits is the most that comes.
 */
export class RowCarrier {
  readonly #reader: pg.Client
  readonly #put: PutRow
  #held = 0
  #failed = false

  /**
   * @param reader in a transaction that has entered the source; pipelined.
   * @param put works in a transaction that has entered the target.
   */
  constructor(reader: pg.Client, put: PutRow) {
    this.#reader = reader
    this.#put = put
  }

  /**
   * Puts the rows with these keys to the target, where they must not be, as the reader sees them. May be called for several tables at
   * the same time. After a failure nothing more is put, whatever is still being read.
   *
   * @param keys at most {@link PAGE_KEYS}.
   * @returns how many rows there were.
   */
  async carry(statements: TableStatements, keys: readonly Key[]): Promise<number> {
    const arrivals: Promise<void>[] = []
    const { promise: failed, reject: fail } = Promise.withResolvers<never>()
    const read = new Promise<void>((resolve, reject) => {
      const rows = this.#reader.query(new pg.Query<TextRow>(statements.rows(keys)))
      rows.on('row', (row) => {
        if (!this.#failed) arrivals.push(this.#pass(statements, row).catch(fail))
      })
      rows.on('end', () => resolve())
      rows.on('error', (error) => reject(statements.asSchemaMismatch(error)))
    })
    try {
      await Promise.race([read.then(() => Promise.all(arrivals)), failed])
    } catch (error) {
      this.#failed = true
      throw error
    }
    return arrivals.length
  }

  async #pass(statements: TableStatements, row: TextRow): Promise<void> {
    const bytes = row.reduce((sum, value) => sum + (value?.length ?? 0), ROW_COST)
    this.#hold(bytes)
    try {
      await this.#put(statements.put(row), statements)
    } finally {
      this.#hold(-bytes)
    }
  }

  #hold(bytes: number): void {
    const { stream } = this.#reader.connection
    this.#held += bytes
    if (this.#held >= MOST_HELD_BYTES) stream.pause()
    else if (bytes < 0 && this.#held <= MOST_HELD_BYTES / 2) stream.resume()
  }
}
