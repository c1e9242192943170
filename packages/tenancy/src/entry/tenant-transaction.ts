import { FreeholdError, type TenantId } from '@freehold/contract'
import {
  beginScoped,
  ConnectionLostError,
  EntryRefusedError,
  isConnectionError,
  type PipelineOptions,
  quoteIdentifier,
  type Statement,
  singleQuery,
  tenantLock,
} from '@freehold/postgres'
import { AbortedTransactionError, type TransactionSettings } from 'kysely'
import type { QueryResult } from 'pg'
import Cursor from 'pg-cursor'
import type { PooledConnection } from '../connections/pooled-connection.ts'
import { statementTraits } from '../statements/statement-traits.ts'
import { observed, observeStatement } from '../telemetry/observe-statement.ts'
import { databaseUnavailable, type Entering, type Entrance, outcomeUnknown } from './entering.ts'

const UNPREPARED: PipelineOptions = { preparedStatements: false }

/**
 * A transaction that has been entered as a tenant. It ends by {@link commit}, by {@link rollback}, or because the
 * connection broke or somebody sent a COMMIT of their own; from then on every use of it fails.
 */
export class TenantTransaction {
  readonly #entrance: Entrance
  readonly #options: PipelineOptions
  readonly #readOnly: boolean
  /** Whether the session itself holds the tenant's shared lock, beyond the transaction. */
  readonly #locked: boolean
  #ended = false
  /** Why the transaction is gone, if it went by itself. */
  #loss: FreeholdError | undefined

  private constructor(entrance: Entrance, options: PipelineOptions, readOnly: boolean, locked: boolean) {
    this.#entrance = entrance
    this.#options = options
    this.#readOnly = readOnly
    this.#locked = locked
  }

  /**
   * Begins a transaction at the tenant's home. Held and stale entries are dealt with before this returns, so what
   * follows runs once. Without an isolation level it is read committed, whatever the database's default.
   *
   * @throws what {@link Entering.run} throws.
   */
  static begin(
    entering: Entering,
    tenantId: TenantId,
    settings: TransactionSettings,
    options: PipelineOptions,
  ): Promise<TenantTransaction> {
    const readOnly = settings.accessMode === 'read only'
    const isolation = settings.isolationLevel ?? 'read committed'
    const begin = `begin isolation level ${isolation} ${readOnly ? 'read only' : 'read write'}`
    // With one snapshot for the whole transaction, that snapshot must be younger than the writers' lock.
    const locks = !readOnly && (isolation === 'repeatable read' || isolation === 'serializable')
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

  /**
   * @throws pg.DatabaseError when the statement fails.
   * @throws FreeholdError `transaction_lost` when it ended the transaction behind the router's back,
   * `database_unavailable` when the connection broke; either way nothing after that is done.
   */
  async execute(statement: Statement): Promise<QueryResult> {
    this.#assertOpen()
    const { connection, placement } = this.#entrance
    if (statementTraits(statement.text).leavesTraces) connection.tainted = true
    const { schema } = placement
    const scoped = schema === undefined ? statement : { ...statement, schema }
    const result = await observed(this.#entrance.placement, statement.text, () =>
      this.#send(scoped, this.#optionsFor(statement.text)),
    )
    if (!this.#stillOpen(statement.text, result.command)) throw this.#lose(transactionLost())
    return result
  }

  /** Reads the rows of a statement in chunks. */
  async *stream<R>(statement: Statement, chunkSize: number): AsyncGenerator<R[], void> {
    this.#assertOpen()
    const { connection } = this.#entrance
    if (statementTraits(statement.text).leavesTraces) connection.tainted = true
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
    let result: QueryResult
    try {
      result = await singleQuery(this.#entrance.connection.client, COMMIT, this.#options)
    } catch (error) {
      if (!(error instanceof ConnectionLostError)) throw error
      this.#entrance.connection.broken = true
      const nothingToCommit = this.#readOnly || error.executed === 'no'
      throw nothingToCommit ? connectionBroke(error) : outcomeUnknown(error)
    }
    if (result.command === 'ROLLBACK') throw new AbortedTransactionError()
  }

  /** Never fails: where it cannot be sent, the connection is closed, which rolls back as well. */
  async rollback(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    try {
      await singleQuery(this.#entrance.connection.client, ROLLBACK, this.#options)
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
    return text.includes('*') ? UNPREPARED : this.#options
  }

  /** COMMIT AND CHAIN leaves a transaction open, but not the one that was entered. */
  #stillOpen(text: string, command: string | null): boolean {
    if (this.#entrance.connection.client.getTransactionStatus() === 'I') return false
    if (command === 'COMMIT') return false
    return command !== 'ROLLBACK' || ROLLBACK_TO.test(text)
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
