import type { TenantId } from '@freehold/contract'
import { hasSqlState, type PipelineOptions, SQLSTATE, type Statement, scopedQuery } from '@freehold/postgres'
import type {
  CompiledQuery,
  DatabaseConnection,
  QueryResult as KyselyResult,
  TransactionSettings,
} from 'kysely'
import type { QueryResult } from 'pg'
import { rememberWriter, type StatementTraits, statementTraits } from '../statements/statement-traits.ts'
import { observed } from '../telemetry/observe-statement.ts'
import type { Entering } from './entering.ts'
import { TenantTransaction, transactionLost } from './tenant-transaction.ts'

/**
 * What Kysely takes for a connection. Outside a transaction there is none behind it: every statement finds the
 * tenant's home, enters, runs and lets go by itself. Inside one it stands for that transaction's connection.
 */
export class TenantConnection implements DatabaseConnection {
  readonly #entering: Entering
  readonly #tenantId: TenantId
  readonly #options: PipelineOptions
  #transaction: TenantTransaction | undefined

  constructor(entering: Entering, tenantId: TenantId, options: PipelineOptions) {
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

  async executeQuery<R>(query: CompiledQuery): Promise<KyselyResult<R>> {
    const statement = { text: query.sql, values: query.parameters }
    const result = this.#transaction
      ? await this.#transaction.execute(statement)
      : await this.#enterAndExecute(statement)
    return kyselyResult<R>(result)
  }

  async *streamQuery<R>(query: CompiledQuery, chunkSize: number): AsyncGenerator<KyselyResult<R>, void> {
    const statement = { text: query.sql, values: query.parameters }
    const chunks = this.#transaction
      ? this.#transaction.stream<R>(statement, chunkSize)
      : this.#enterAndStream<R>(statement, chunkSize)
    for await (const rows of chunks) yield { rows }
  }

  async #enterAndExecute(statement: Statement): Promise<QueryResult> {
    const traits = statementTraits(statement.text)
    try {
      return await this.#executeAs(traits.mode, traits, statement)
    } catch (error) {
      if (!isMistakenForRead(traits, error)) throw error
    }
    // The server has refused it as a write and undone all of it.
    rememberWriter(statement.text)
    return this.#executeAs('writer', traits, statement)
  }

  #executeAs(
    mode: StatementTraits['mode'],
    traits: StatementTraits,
    statement: Statement,
  ): Promise<QueryResult> {
    return this.#entering.run(this.#tenantId, mode, async ({ placement, pool, connection }, entry) => {
      if (traits.leavesTraces) connection.tainted = true
      const result = await observed(placement, statement.text, () =>
        scopedQuery(connection.client, entry, statement, this.#options),
      )
      // A BEGIN, COMMIT or ROLLBACK sent as raw SQL does not do what whoever sent it thinks.
      const left = connection.client.getTransactionStatus()
      if (left !== 'I' || ENDS_TRANSACTION.has(result.command)) throw transactionLost()
      pool.release(connection)
      return result
    })
  }

  async *#enterAndStream<R>(statement: Statement, chunkSize: number): AsyncGenerator<R[], void> {
    const traits = statementTraits(statement.text)
    let yielded = false
    try {
      for await (const rows of this.#streamAs<R>(traits.mode, statement, chunkSize)) {
        yielded = true
        yield rows
      }
      return
    } catch (error) {
      if (yielded || !isMistakenForRead(traits, error)) throw error
    }
    rememberWriter(statement.text)
    yield* this.#streamAs<R>('writer', statement, chunkSize)
  }

  async *#streamAs<R>(
    mode: StatementTraits['mode'],
    statement: Statement,
    chunkSize: number,
  ): AsyncGenerator<R[], void> {
    const settings: TransactionSettings = mode === 'reader' ? { accessMode: 'read only' } : {}
    const transaction = await TenantTransaction.begin(this.#entering, this.#tenantId, settings, this.#options)
    let failed = false
    try {
      yield* transaction.stream<R>(statement, chunkSize)
    } catch (error) {
      failed = true
      throw error
    } finally {
      // Whoever stops reading early keeps what the statement wrote, as without a transaction.
      try {
        if (failed) await transaction.rollback()
        else await transaction.commit()
      } finally {
        await transaction.release()
      }
    }
  }
}

const ENDS_TRANSACTION: ReadonlySet<string | null> = new Set(['COMMIT', 'ROLLBACK'])

function isMistakenForRead(traits: StatementTraits, error: unknown): boolean {
  return traits.mode === 'reader' && hasSqlState(error, SQLSTATE.readOnlyTransaction)
}

const COUNTS_ROWS: ReadonlySet<string | null> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE'])

function kyselyResult<R>(result: QueryResult): KyselyResult<R> {
  return COUNTS_ROWS.has(result.command)
    ? { numAffectedRows: BigInt(result.rowCount ?? 0), rows: result.rows }
    : { rows: result.rows }
}
