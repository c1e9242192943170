import type { TenantId } from '@freehold/contract'
import { hasSqlState, SQLSTATE, type Statement, scopedQuery } from '@freehold/postgres'
import type {
  CompiledQuery,
  DatabaseConnection,
  QueryResult as KyselyResult,
  TransactionSettings,
} from 'kysely'
import type { QueryResult } from 'pg'
import { assertCompiledFor } from '../predicates/compiled-for.ts'
import { pooledUse } from '../statements/pooled-statements.ts'
import { rememberWriter, type StatementTraits, statementTraits } from '../statements/statement-traits.ts'
import { observed } from '../telemetry/observe-statement.ts'
import type { Entering } from './entering.ts'
import { type EntryOptions, optionsIn, statementNeedsSession } from './pooler.ts'
import { TenantTransaction, transactionLost } from './tenant-transaction.ts'

/**
 * What Kysely takes for a connection. Outside a transaction there is none behind it: every statement finds the
 * tenant's home, enters, runs and lets go by itself. Inside one it stands for that transaction's connection.
 */
export class TenantConnection implements DatabaseConnection {
  readonly #entering: Entering
  readonly #tenantId: TenantId
  readonly #options: EntryOptions
  #transaction: TenantTransaction | undefined

  constructor(entering: Entering, tenantId: TenantId, options: EntryOptions) {
    this.#entering = entering
    this.#tenantId = tenantId
    this.#options = options
  }

  get inTransaction(): boolean {
    return this.#transaction !== undefined
  }

  async begin(settings: TransactionSettings): Promise<void> {
    this.#transaction = await TenantTransaction.begin(this.#entering, this.#tenantId, settings, this.#options)
  }

  /**
   * A transaction whose commit failed stays, and fails every statement, until it is rolled back: what is run in it
   * by mistake must not be run outside.
   */
  async commit(): Promise<void> {
    await this.transaction.commit()
    await this.release()
  }

  async rollback(): Promise<void> {
    await this.#transaction?.rollback()
    await this.release()
  }

  /** @throws FreeholdError `transaction_lost` outside a transaction. */
  get transaction(): TenantTransaction {
    if (!this.#transaction) throw transactionLost()
    return this.#transaction
  }

  async release(): Promise<void> {
    const transaction = this.#transaction
    this.#transaction = undefined
    await transaction?.release()
  }

  /** Runs work in the transaction that is open, or in one of its own, which commits when the work has succeeded. */
  async withTransaction<T>(work: (transaction: TenantTransaction) => Promise<T>): Promise<T> {
    if (this.#transaction) return work(this.#transaction)
    const transaction = await this.#beginOwn('writer')
    try {
      const result = await work(transaction)
      await transaction.commit()
      return result
    } catch (error) {
      await transaction.rollback()
      throw error
    } finally {
      await transaction.release()
    }
  }

  /** The same for as long as somebody reads; whoever stops early keeps what was written. */
  async *streamInTransaction<T>(
    mode: StatementTraits['mode'],
    read: (transaction: TenantTransaction) => AsyncGenerator<T, void>,
  ): AsyncGenerator<T, void> {
    if (this.#transaction) {
      yield* read(this.#transaction)
      return
    }
    const transaction = await this.#beginOwn(mode)
    let failed = false
    try {
      yield* read(transaction)
    } catch (error) {
      failed = true
      throw error
    } finally {
      try {
        if (failed) await transaction.rollback()
        else if (!transaction.abandoned) await transaction.commit()
      } finally {
        await transaction.release()
      }
    }
  }

  #beginOwn(mode: StatementTraits['mode']): Promise<TenantTransaction> {
    const settings: TransactionSettings = mode === 'reader' ? { accessMode: 'read only' } : {}
    return TenantTransaction.begin(this.#entering, this.#tenantId, settings, this.#options)
  }

  /** @throws FreeholdError `foreign_tenant_id` for a query that was compiled for another tenant. */
  statementOf(query: CompiledQuery): Statement {
    assertCompiledFor(query, this.#tenantId)
    return { text: query.sql, values: query.parameters }
  }

  async executeQuery<R>(query: CompiledQuery): Promise<KyselyResult<R>> {
    const statement = this.statementOf(query)
    const result = this.#transaction
      ? await this.#transaction.execute(statement)
      : await this.#enterAndExecute(statement)
    return kyselyResult<R>(result)
  }

  async *streamQuery<R>(query: CompiledQuery, chunkSize: number): AsyncGenerator<KyselyResult<R>, void> {
    const statement = this.statementOf(query)
    for await (const rows of this.#enterAndStream<R>(statement, chunkSize)) yield { rows }
  }

  async #enterAndExecute(statement: Statement): Promise<QueryResult> {
    const traits = statementTraits(statement.text)
    if (traits.leavesTraces && this.#options.pooler) return this.#executePooled(statement)
    try {
      return await this.#executeAs(traits.mode, traits, statement)
    } catch (error) {
      if (!isMistakenForRead(traits, error)) throw error
    }
    // The server has refused it as a write and undone all of it.
    rememberWriter(statement.text)
    return this.#executeAs('writer', traits, statement)
  }

  /** What has to be undone in the session is undone in the same transaction, so there has to be one. */
  #executePooled(statement: Statement): Promise<QueryResult> {
    if (pooledUse(statement.text) === 'refused') throw statementNeedsSession()
    return this.withTransaction((transaction) => transaction.execute(statement))
  }

  #executeAs(
    mode: StatementTraits['mode'],
    traits: StatementTraits,
    statement: Statement,
  ): Promise<QueryResult> {
    return this.#entering.run(this.#tenantId, mode, async ({ placement, pool, connection }, entry) => {
      if (traits.leavesTraces) connection.tainted = true
      const result = await observed(placement, statement.text, () =>
        scopedQuery(connection.client, entry, statement, optionsIn(entry.schema, this.#options)),
      )
      // A BEGIN, COMMIT or ROLLBACK sent as raw SQL does not do what whoever sent it thinks.
      const left = connection.client.getTransactionStatus()
      if (left !== 'I' || ENDS_TRANSACTION.has(result.command)) throw transactionLost()
      pool.release(connection)
      return result
    })
  }

  async *#enterAndStream<R>(statement: Statement, chunkSize: number): AsyncGenerator<R[], void> {
    const { mode } = statementTraits(statement.text)
    const read = (transaction: TenantTransaction) => transaction.stream<R>(statement, chunkSize)
    let yielded = false
    try {
      for await (const rows of this.streamInTransaction(mode, read)) {
        yielded = true
        yield rows
      }
      return
    } catch (error) {
      if (yielded || this.#transaction || !isMistakenForRead({ mode }, error)) throw error
    }
    rememberWriter(statement.text)
    yield* this.streamInTransaction('writer', read)
  }
}

const ENDS_TRANSACTION: ReadonlySet<string | null> = new Set(['COMMIT', 'ROLLBACK'])

function isMistakenForRead(traits: Pick<StatementTraits, 'mode'>, error: unknown): boolean {
  return traits.mode === 'reader' && hasSqlState(error, SQLSTATE.readOnlyTransaction)
}

const COUNTS_ROWS: ReadonlySet<string | null> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE'])

function kyselyResult<R>(result: QueryResult): KyselyResult<R> {
  return COUNTS_ROWS.has(result.command)
    ? { numAffectedRows: BigInt(result.rowCount ?? 0), rows: result.rows }
    : { rows: result.rows }
}
