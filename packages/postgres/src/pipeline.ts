import pg, { type ClientBase, type Connection, type FieldDef, type QueryResult, type Submittable } from 'pg'
import { prepareValue } from 'pg/lib/utils.js'
import { sendCoalesced } from './coalesced-sends.ts'
import { MessageWriter, type WireValue } from './message-writer.ts'
import { type PreparedStatements, preparedStatements, statementName } from './prepared-statements.ts'
import { Columns, QueryRows } from './query-rows.ts'

/** One statement with its parameters, as `pg` takes them. */
export interface Statement {
  readonly text: string
  readonly values: readonly unknown[]
  /**
   * The schema that comes first in the search path when it runs, if that is not the session's own. The server plans a
   * prepared statement anew whenever it finds another search path than the last time, so each schema gets its own.
   */
  readonly schema?: string | undefined
}

export interface PipelineOptions {
  /**
   * Whether to use named prepared statements. Switch them off behind a pooler that hands server connections from
   * client to client without keeping track of them.
   */
  readonly preparedStatements: boolean
}

/**
 * The connection broke under a pipeline. `executed` is `'no'` when nothing of it can have taken effect: it was
 * never sent, or the server itself ended the session before the last statement was done.
 */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError'
  readonly executed: 'no' | 'unknown'

  constructor(executed: 'no' | 'unknown', cause: unknown) {
    super('The connection to the database broke.', { cause })
    this.executed = executed
  }
}

/** A statement of a pipeline failed; the ones before it did not. */
export class PipelineStepError extends Error {
  override readonly name = 'PipelineStepError'
  readonly step: number
  override readonly cause: Error

  constructor(step: number, cause: Error) {
    super(cause.message)
    this.step = step
    this.cause = cause
  }
}

/**
 * Sends statements together, in one round trip and with one Sync at the end: outside a transaction block they are
 * one implicit transaction. When one fails, the server skips the rest and undoes what the implicit transaction did.
 * The promise settles only when the connection is ready for the next query (or gone), so that
 * `client.getTransactionStatus()` is true of what was sent.
 *
 * @returns the result of the last statement.
 * @throws PipelineStepError with the server's error as cause, ConnectionLostError, or the error of a value that
 * cannot be sent (nothing is sent then).
 */
export function runPipeline(
  client: ClientBase,
  steps: readonly Statement[],
  options: PipelineOptions,
): Promise<QueryResult> {
  return new Promise((resolve, reject) => {
    client.query(new Pipeline(preparedStatements(client), steps, options, resolve, reject))
  })
}

/** Shared: a pipeline is written and taken without a tick in between. */
const writer = new MessageWriter()

/** What the client calls while the messages of a query arrive; the parts of it that `@types/pg` leaves out. */
class Pipeline implements Submittable {
  /** Under this name the client looks for what it gives its type parsers to. */
  readonly _result = new QueryRows()
  readonly #statements: PreparedStatements
  readonly #steps: readonly Statement[]
  /** The names of the statements; empty when they are not to be prepared. */
  readonly #names: readonly string[]
  readonly #resolve: (result: QueryResult) => void
  readonly #reject: (error: Error) => void
  /** Statements that are done. */
  #completed = 0
  #sent = false
  #over = false
  #error: Error | undefined

  constructor(
    statements: PreparedStatements,
    steps: readonly Statement[],
    options: PipelineOptions,
    resolve: (result: QueryResult) => void,
    reject: (error: Error) => void,
  ) {
    this.#statements = statements
    this.#steps = steps
    this.#names = options.preparedStatements ? steps.map((step) => statementName(step.text, step.schema)) : []
    this.#resolve = resolve
    this.#reject = reject
  }

  /** @returns an error when nothing was sent, as the client expects it. */
  submit(connection: Connection): Error | null {
    let messages: Buffer
    try {
      messages = this.#write()
    } catch (error) {
      writer.discard()
      this.#error =
        error instanceof Error ? error : new Error('A parameter cannot be sent.', { cause: error })
      return this.#error
    }
    sendCoalesced(() => this.#send(connection, messages))
    return null
  }

  /** Who has been told meanwhile that the connection is lost was told that nothing was sent. */
  #send({ stream }: Connection, messages: Buffer): void {
    this.#sent = stream.writable && !this.#over
    if (this.#sent) stream.write(messages)
  }

  #write(): Buffer {
    const values = this.#steps.map((step) => step.values.map(prepareValue))
    for (const name of this.#statements.evicted) writer.closeStatement(name)
    for (let index = 0; index < this.#steps.length; index++) this.#writeStep(index, values[index] ?? [])
    writer.sync()
    // Not before everything is written: what cannot be is not sent, and they are still to be closed.
    this.#statements.evictedAreClosed()
    return writer.take()
  }

  #writeStep(index: number, values: readonly WireValue[]): void {
    const name = this.#names[index] ?? ''
    const described = index === this.#steps.length - 1
    const columns = name === '' ? undefined : this.#statements.columns(name)
    if (columns === undefined) {
      if (name !== '') writer.closeStatement(name)
      writer.parse(name, this.#steps[index]?.text ?? '')
    }
    writer.bind(name, values)
    // What is known already need not be asked again.
    if (described && columns) this._result.columns = columns
    else if (described) writer.describePortal()
    writer.execute()
  }

  handleRowDescription(message: { fields: FieldDef[] }): void {
    this._result.columns = new Columns(message.fields)
  }

  handleDataRow(message: { fields: (string | null)[] }): void {
    if (this.#error || this.#completed < this.#steps.length - 1) return
    try {
      this._result.addRow(message.fields)
    } catch (error) {
      this.#error = error instanceof Error ? error : new Error('A value cannot be parsed.', { cause: error })
    }
  }

  handleCommandComplete(message: { text: string }): void {
    if (this.#completed === this.#steps.length - 1) this._result.complete(message.text)
    this.#completed++
  }

  handleEmptyQuery(): void {
    this.#completed++
  }

  /** In this mode the server ignores the Sync that it already has, so after refusing the data it needs another. */
  handleCopyInResponse(connection: Connection & { sendCopyFail(reason: string): void }): void {
    connection.sendCopyFail('COPY FROM STDIN is not supported here')
    connection.sync()
  }

  handleCopyData(): void {}

  handleReadyForQuery(): void {
    this.#confirmStatements()
    if (this.#error) this.#reject(this.#error)
    else this.#resolve(this._result.result)
  }

  handleError(error: Error, connection: Connection): void {
    this.#over = true
    if (error === this.#error) this.#reject(error)
    else if (error instanceof pg.DatabaseError) this.#settleWhenReady(error, connection)
    else this.#reject(new ConnectionLostError(this.#sent ? 'unknown' : 'no', error))
  }

  /** The client lets go of a query at its first error; the answer to our Sync comes, or the connection ends. */
  #settleWhenReady(error: pg.DatabaseError, connection: Connection): void {
    const ready = () => {
      connection.removeListener('end', ended)
      this.#confirmStatements()
      if (isStalePlan(error)) this.#forgetStale(error)
      this.#reject(new PipelineStepError(this.#completed, error))
    }
    const ended = () => {
      connection.removeListener('readyForQuery', ready)
      const executed = this.#sent && !this.#endsUnfinished(error) ? 'unknown' : 'no'
      this.#reject(new ConnectionLostError(executed, error))
    }
    connection.once('readyForQuery', ready)
    connection.once('end', ended)
  }

  /**
   * Whether a farewell proves that nothing was committed. The server's own does, if it comes before the last statement
   * is reported done: the implicit transaction commits after that. A statement alone proves nothing, nor does a COMMIT
   * at the end, which are done before they are reported. A pooler's farewell proves nothing about what it has passed on.
   */
  #endsUnfinished(farewell: pg.DatabaseError): boolean {
    if (neverReachedServer(farewell)) return true
    if (!SERVER_FAREWELLS.has(farewell.code ?? '')) return false
    const last = this.#steps.length - 1
    if (last < 1) return false
    return (
      this.#completed < last || (this.#completed === last && !COMMITS.test(this.#steps[last]?.text ?? ''))
    )
  }

  #confirmStatements(): void {
    const done = Math.min(this.#completed, this.#names.length)
    for (let index = 0; index < done; index++) {
      const name = this.#names[index] ?? ''
      if (name !== '')
        this.#statements.confirm(name, this.#statements.columns(name) ?? this.#lastingColumns(index))
    }
  }

  /** What a statement returns as long as it exists, if that was asked and can be told. */
  #lastingColumns(index: number): Columns | null {
    const asked = index === this.#steps.length - 1
    return asked && RETURNS_THE_SAME.test(this.#steps[index]?.text ?? '') ? this._result.columns : null
  }

  #forgetStale(error: pg.DatabaseError): void {
    if (error.code === STATEMENT_GONE) this.#statements.clear()
    else this.#statements.forget(this.#names[this.#completed] ?? '')
  }
}

/**
 * The server refuses to execute such a statement once its columns have changed. Not so with EXECUTE, FETCH and the
 * like, whose columns are those of whatever bears the name at the time.
 */
const RETURNS_THE_SAME = /^\s*(?:select|insert|update|delete|merge|with|values)\b/i

/** With what the server itself ends a session: shut down, crashed, starting, database dropped, idle for too long. */
const SERVER_FAREWELLS = new Set(['57P01', '57P02', '57P03', '57P04', '57P05'])

const COMMITS = /^\s*(?:commit|end)\b/i

/** PgBouncer's answer to a client to which it has given no server yet; the state is that of a protocol violation. */
const NEVER_REACHED_SERVER = /^query_wait_timeout|server login has been failing/

function neverReachedServer(farewell: pg.DatabaseError): boolean {
  return farewell.code === '08P01' && NEVER_REACHED_SERVER.test(farewell.message)
}

/** Where one statement has been dropped behind our back, the others have most likely gone with it. */
const STATEMENT_GONE = '26000'

/**
 * Whether an error means that a named statement no longer fits: the tables changed beneath it, or it was dropped.
 * The server noticed before it executed anything of the statement.
 */
export function isStalePlan(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  return (
    error.code === STATEMENT_GONE || (error.code === '0A000' && error.routine === 'RevalidateCachedQuery')
  )
}
