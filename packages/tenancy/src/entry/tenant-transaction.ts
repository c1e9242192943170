import { FreeholdError, type TenantId } from '@freehold/contract'
import {
  beginScoped,
  ConnectionLostError,
  copyIn,
  copyOut,
  EntryRefusedError,
  isConnectionError,
  type PipelineOptions,
  preparedStatements,
  queryTogether,
  quoteIdentifier,
  type Statement,
  singleQuery,
  tenantLock,
} from '@freehold/postgres'
import { AbortedTransactionError, type TransactionSettings } from 'kysely'
import { DatabaseError, type QueryResult } from 'pg'
import Cursor from 'pg-cursor'
import type { PooledConnection } from '../connections/pooled-connection.ts'
import { pooledUse } from '../statements/pooled-statements.ts'
import { statementTraits } from '../statements/statement-traits.ts'
import { observed, observeStatement } from '../telemetry/observe-statement.ts'
import { databaseUnavailable, type Entering, type Entrance, outcomeUnknown } from './entering.ts'
import { CLEANING, type EntryOptions, optionsIn, sessionRequired, statementNeedsSession } from './pooler.ts'

const UNPREPARED: PipelineOptions = { preparedStatements: false }

/**
 * A transaction that has been entered as a tenant. It ends by {@link commit}, by {@link rollback}, or because the
 * connection broke or somebody sent a COMMIT of their own; from then on every use of it fails.
 */
export class TenantTransaction {
  readonly #entrance: Entrance
  readonly #options: EntryOptions
  readonly #readOnly: boolean
  /** Whether the session itself holds the tenant's shared lock, beyond the transaction. */
  readonly #locked: boolean
  #ended = false
  #abandoned = false
  /** Behind a pooler: the session is to be cleaned before the transaction ends. */
  #unclean = false
  /** Why the transaction is gone, if it went by itself. */
  #loss: FreeholdError | undefined

  private constructor(entrance: Entrance, options: EntryOptions, readOnly: boolean, locked: boolean) {
    this.#entrance = entrance
    this.#options = options
    this.#readOnly = readOnly
    this.#locked = locked
  }

  /**
   * Begins a transaction at the tenant's home. Held and stale entries are dealt with before this returns, so what
   * follows runs once. Without an isolation level it is read committed, whatever the database's default.
   *
   * @throws what {@link Entering.run} throws; FreeholdError `session_required` for writing with one snapshot behind a
   * pooler.
   */
  static async begin(
    entering: Entering,
    tenantId: TenantId,
    settings: TransactionSettings,
    options: EntryOptions,
  ): Promise<TenantTransaction> {
    const readOnly = settings.accessMode === 'read only'
    const isolation = settings.isolationLevel ?? 'read committed'
    const begin = `begin isolation level ${isolation} ${readOnly ? 'read only' : 'read write'}`
    // With one snapshot for the whole transaction, that snapshot must be younger than the writers' lock.
    const locks = !readOnly && (isolation === 'repeatable read' || isolation === 'serializable')
    if (locks && options.pooler) {
      throw sessionRequired(
        `To write under ${isolation.toUpperCase()} takes the tenant’s lock on the session before the transaction ` +
          'begins, which a pooler in transaction mode does not allow. Nothing was begun.',
      )
    }
    return entering.run(tenantId, readOnly ? 'reader' : 'writer', async (entrance, entry) => {
      const { client } = entrance.connection
      if (locks) await lockSession(entrance, tenantId)
      try {
        await beginScoped(client, entry, begin, options)
      } catch (error) {
        // Nothing was done in it yet, so a lost connection leaves nothing in doubt.
        if (error instanceof ConnectionLostError) throw new ConnectionLostError('no', error)
        await undoBegin(entrance, locks)
        throw error
      }
      return new TenantTransaction(entrance, options, readOnly, locks)
    })
  }

  /** Whether it has ended, by whatever means. */
  get ended(): boolean {
    return this.#ended
  }

  /** Whether somebody stopped in the middle of something that cannot be stopped, so that there is nothing to commit. */
  get abandoned(): boolean {
    return this.#abandoned
  }

  /**
   * @throws pg.DatabaseError when the statement fails.
   * @throws FreeholdError `session_required` when it is not one for a pooler: it was not sent. `transaction_lost` when it ended the transaction behind the router's back,
   * `database_unavailable` when the connection broke; either way nothing after that is done.
   */
  async execute(statement: Statement): Promise<QueryResult> {
    this.#assertOpen()
    this.#admit(statement.text)
    const { placement } = this.#entrance
    const { schema } = placement
    const scoped = schema === undefined ? statement : { ...statement, schema }
    const result = await observed(this.#entrance.placement, statement.text, () =>
      this.#send(scoped, this.#optionsFor(statement.text)),
    )
    if (!this.#stillOpen(statement.text, result.command)) throw this.#lose(transactionLost())
    // It may have dropped what is prepared, and a statement that is gone would fail the whole transaction.
    if (statementTraits(statement.text).leavesTraces) {
      preparedStatements(this.#entrance.connection.client).clear()
    }
    return result
  }

  /** Reads the rows of a statement in chunks. */
  async *stream<R>(statement: Statement, chunkSize: number): AsyncGenerator<R[], void> {
    this.#assertOpen()
    this.#admit(statement.text)
    const { connection } = this.#entrance
    const cursor = connection.client.query(new Cursor<R>(statement.text, [...statement.values]))
    const answered = observeStatement(this.#entrance.placement, statement.text)
    let open = true
    let failure: unknown
    try {
      for (;;) {
        const rows = await cursor.read(chunkSize)
        if (rows.length === 0) break
        yield rows
      }
    } catch (error) {
      failure = error
      open = false
      if (connection.broken || isConnectionError(error)) throw this.#lose(connectionBroke(error))
      throw error
    } finally {
      // After an error the server has closed it, and waiting for that would be waiting for ever.
      if (open) await closeCursor(cursor, connection)
      answered?.(failure)
    }
  }

  /**
   * A statement that the router itself has made up.
   *
   * @param signal breaks the connection, and so undoes the transaction, while the statement is under way.
   */
  async executeOwn(statement: Statement, signal?: AbortSignal): Promise<QueryResult> {
    this.#assertOpen()
    const { stream } = this.#entrance.connection.client.connection
    const abort = () => stream.destroy()
    signal?.addEventListener('abort', abort, { once: true })
    try {
      return await this.#send(statement, UNPREPARED)
    } catch (error) {
      throw signal?.aborted ? signal.reason : error
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Sends the data of a `COPY ... FROM STDIN` of the router's own making; see {@link copyIn}. */
  async copyIn(
    text: string,
    chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
    signal?: AbortSignal,
  ): Promise<number> {
    this.#assertOpen()
    try {
      return await observed(this.#entrance.placement, text, () =>
        copyIn(this.#entrance.connection.client, text, chunks, signal),
      )
    } catch (error) {
      if (error instanceof ConnectionLostError) throw this.#lose(connectionBroke(error))
      throw error
    }
  }

  /**
   * Reads what a `COPY (query) TO STDOUT` sends. To stop before the end, or by the signal, costs the transaction.
   *
   * @param query the query within, by which the statement is judged.
   */
  async *copyOut(text: string, query: string, signal?: AbortSignal): AsyncGenerator<Buffer, void> {
    this.#assertOpen()
    this.#admit(query)
    const { connection, placement } = this.#entrance
    const answered = observeStatement(placement, text)
    let finished = false
    let failure: unknown
    try {
      yield* copyOut(connection.client, text, signal)
      finished = true
    } catch (error) {
      failure = error
      finished = error instanceof DatabaseError
      if (error instanceof ConnectionLostError) throw this.#lose(connectionBroke(error))
      throw error
    } finally {
      if (!finished) this.#abandon()
      answered?.(failure)
    }
  }

  async savepoint(name: string): Promise<void> {
    await this.#control(`savepoint ${quoteIdentifier(name)}`)
  }

  async rollbackToSavepoint(name: string): Promise<void> {
    await this.#control(`rollback to savepoint ${quoteIdentifier(name)}`)
  }

  async releaseSavepoint(name: string): Promise<void> {
    await this.#control(`release savepoint ${quoteIdentifier(name)}`)
  }

  /**
   * @throws FreeholdError `outcome_unknown` when the connection broke, so that nobody can say whether what was
   * written is there.
   * @throws AbortedTransactionError when the server rolled back because a statement had failed before.
   */
  async commit(): Promise<void> {
    this.#assertOpen()
    this.#ended = true
    const { connection } = this.#entrance
    if (this.#unclean && connection.client.getTransactionStatus() === 'E') {
      connection.broken = true
      throw new AbortedTransactionError()
    }
    let result: QueryResult
    try {
      result = await (this.#unclean
        ? queryTogether(connection.client, [...CLEANING, COMMIT], UNPREPARED)
        : singleQuery(connection.client, COMMIT, this.#options))
    } catch (error) {
      // A pooler closes the server session with which somebody leaves inside a transaction.
      if (this.#unclean) connection.broken = true
      if (!(error instanceof ConnectionLostError)) throw error
      connection.broken = true
      const nothingToCommit = this.#readOnly || error.executed === 'no'
      throw nothingToCommit ? connectionBroke(error) : outcomeUnknown(error)
    }
    if (result.command === 'ROLLBACK') throw new AbortedTransactionError()
  }

  /**
   * Never fails: where it cannot be sent, the connection is closed, which rolls back as well. So it is behind a pooler
   * where the session may have been changed: a rollback alone does not release advisory locks.
   */
  async rollback(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    try {
      if (this.#unclean) this.#entrance.connection.broken = true
      else await singleQuery(this.#entrance.connection.client, ROLLBACK, this.#options)
    } catch {
      this.#entrance.connection.broken = true
    }
  }

  /** Gives the connection back; a transaction that has not ended is rolled back by that. */
  async release(): Promise<void> {
    const { pool, connection, placement } = this.#entrance
    if (!this.#ended) connection.broken = true
    if (this.#locked && !connection.broken) {
      await tenantLock.releaseShared(connection.client, placement.route.tenantId).catch(() => {
        connection.broken = true
      })
    }
    pool.release(connection)
  }

  /** @throws FreeholdError `session_required` behind a pooler, when the statement is not one for it. */
  #admit(text: string): void {
    if (!statementTraits(text).leavesTraces) return
    if (this.#options.pooler === undefined) {
      this.#entrance.connection.tainted = true
      return
    }
    const use = pooledUse(text)
    if (use === 'refused') throw statementNeedsSession()
    if (use === 'cleaned') this.#unclean = true
  }

  async #control(text: string): Promise<void> {
    this.#assertOpen()
    await this.#send({ text, values: [] }, UNPREPARED)
  }

  async #send(statement: Statement, options: PipelineOptions): Promise<QueryResult> {
    try {
      return await singleQuery(this.#entrance.connection.client, statement, options)
    } catch (error) {
      if (error instanceof ConnectionLostError) throw this.#lose(connectionBroke(error))
      throw error
    }
  }

  /**
   * A prepared `select *` fails once after a migration has added a column, and in a transaction that cannot be
   * made good by asking again.
   */
  #optionsFor(text: string): PipelineOptions {
    return text.includes('*') ? UNPREPARED : optionsIn(this.#entrance.placement.schema, this.#options)
  }

  /** COMMIT AND CHAIN leaves a transaction open, but not the one that was entered. */
  #stillOpen(text: string, command: string | null): boolean {
    if (this.#entrance.connection.client.getTransactionStatus() === 'I') return false
    if (command === 'COMMIT') return false
    return command !== 'ROLLBACK' || ROLLBACK_TO.test(text)
  }

  /** Given up by whoever uses it; the connection is in no state to go on. */
  #abandon(): void {
    this.#ended = true
    this.#abandoned = true
    this.#entrance.connection.broken = true
  }

  #lose(loss: FreeholdError): FreeholdError {
    this.#ended = true
    this.#loss = loss
    this.#entrance.connection.broken = true
    return loss
  }

  #assertOpen(): void {
    if (this.#loss) throw this.#loss
    if (this.#ended) throw transactionLost()
  }
}

const COMMIT: Statement = { text: 'commit', values: [] }
const ROLLBACK: Statement = { text: 'rollback', values: [] }
const ROLLBACK_TO = /^\s*rollback\s+(?:(?:work|transaction)\s+)?to\s/i

/** @throws EntryRefusedError when a cutover has the lock or waits for it. */
async function lockSession({ connection }: Entrance, tenantId: TenantId): Promise<void> {
  let locked = false
  try {
    locked = await tenantLock.tryShared(connection.client, tenantId)
  } catch (error) {
    throw connection.broken || isConnectionError(error) ? new ConnectionLostError('no', error) : error
  }
  if (!locked) throw new EntryRefusedError('held', undefined)
}

async function undoBegin({ connection, placement }: Entrance, locked: boolean): Promise<void> {
  try {
    await singleQuery(connection.client, ROLLBACK, UNPREPARED)
    if (locked) await tenantLock.releaseShared(connection.client, placement.route.tenantId)
  } catch {
    connection.broken = true
  }
}

/** A cursor waits for the server's answer even when the connection is gone. */
async function closeCursor(cursor: Cursor<unknown>, { client, broken }: PooledConnection): Promise<void> {
  if (broken) return
  const { promise: gone, resolve } = Promise.withResolvers<void>()
  client.once('end', resolve)
  try {
    await Promise.race([cursor.close(), gone])
  } finally {
    client.off('end', resolve)
  }
}

export function transactionLost(): FreeholdError {
  return new FreeholdError('transaction_lost')
}

function connectionBroke(cause: unknown): FreeholdError {
  return databaseUnavailable(
    cause,
    'The connection broke inside a transaction, which was rolled back by that.',
  )
}
