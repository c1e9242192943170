import { type ClientBase, DatabaseError, type QueryResult } from 'pg'
import {
  isStalePlan,
  type PipelineOptions,
  PipelineStepError,
  runPipeline,
  type Statement,
} from './pipeline.ts'
import { hasSqlState, SQLSTATE } from './sqlstate.ts'

/** As whom to enter a data database, and what for: readers run read-only and take no lock. */
export interface Entry {
  readonly tenantId: string
  /** From `deriveEntryKey`: stands for the tenant at one epoch in one database. */
  readonly entryKey: string
  readonly mode: 'reader' | 'writer'
  /** The tenant's own schema, which entering makes the search path; undefined where tables are shared. */
  readonly schema?: string | undefined
}

/**
 * The data database refused the entry; nothing was executed. `not_resident`: the tenant does not live there at this
 * epoch. `held`: its writers wait for a cutover.
 */
export class EntryRefusedError extends Error {
  override readonly name = 'EntryRefusedError'
  readonly reason: 'not_resident' | 'held'

  constructor(reason: 'not_resident' | 'held', cause: unknown) {
    super(`Entry refused: ${reason}.`, { cause })
    this.reason = reason
  }
}

const PREPARED: PipelineOptions = { preparedStatements: true }

/**
 * Enters as a tenant and runs one statement, in one round trip and as one implicit transaction: what the entry sets
 * ends with it. Both are prepared once per connection.
 *
 * @throws EntryRefusedError when the tenant may not enter: nothing was executed.
 * @throws ConnectionLostError when the connection broke, saying whether the statement may have taken effect.
 * @throws pg.DatabaseError when the statement failed: nothing of it has happened.
 * @example
 * ```ts
 * const entry: Entry = { tenantId, entryKey, mode: 'reader' }
 * const { rows } = await scopedQuery(client, entry, { text: 'select * from orders where id = $1', values: [7] })
 * ```
 */
export async function scopedQuery(
  client: ClientBase,
  entry: Entry,
  statement: Statement,
  options: PipelineOptions = PREPARED,
): Promise<QueryResult> {
  const steps = [
    entryStatement(entry),
    entry.schema === undefined ? statement : { ...statement, schema: entry.schema },
  ]
  try {
    return await runPipeline(client, steps, options)
  } catch (error) {
    if (!isStalePlanStep(error)) throw entryError(error, 0)
  }
  // Nothing was executed, and the pipeline has forgotten the statement, so it is parsed anew.
  try {
    return await runPipeline(client, steps, options)
  } catch (error) {
    throw entryError(error, 0)
  }
}

/**
 * Begins a transaction and enters it as a tenant, in one round trip.
 *
 * @param begin the statement that begins it.
 * @throws what {@link scopedQuery} throws. Unless the connection was lost, it is left in a failed transaction, to be
 * rolled back by the caller.
 */
export async function beginScoped(
  client: ClientBase,
  entry: Entry,
  begin: string,
  options: PipelineOptions = PREPARED,
): Promise<void> {
  try {
    await runPipeline(client, [{ text: begin, values: [] }, entryStatement(entry)], options)
  } catch (error) {
    throw entryError(error, 1)
  }
}

/**
 * Runs one statement by itself; inside a transaction that {@link beginScoped} began, as its tenant.
 *
 * @throws pg.DatabaseError when the statement failed, ConnectionLostError when the connection broke.
 */
export async function singleQuery(
  client: ClientBase,
  statement: Statement,
  options: PipelineOptions = PREPARED,
): Promise<QueryResult> {
  return queryTogether(client, [statement], options)
}

/**
 * Runs statements in one round trip, each only if those before it have succeeded.
 *
 * @returns the result of the last.
 * @throws what {@link singleQuery} throws.
 */
export async function queryTogether(
  client: ClientBase,
  statements: readonly Statement[],
  options: PipelineOptions = PREPARED,
): Promise<QueryResult> {
  try {
    return await runPipeline(client, statements, options)
  } catch (error) {
    throw error instanceof PipelineStepError ? error.cause : error
  }
}

const ENTER = {
  reader: 'select freehold.enter_reader($1)',
  writer: 'select freehold.enter_writer($1, $2)',
} as const

function entryStatement({ mode, tenantId, entryKey }: Entry): Statement {
  return { text: ENTER[mode], values: mode === 'reader' ? [entryKey] : [tenantId, entryKey] }
}

/** Only the entry's own refusal counts: a statement that raises the same state by itself has been executed. */
function entryError(error: unknown, entryStep: number): unknown {
  if (!(error instanceof PipelineStepError)) return error
  if (error.step !== entryStep) return error.cause
  const cause = withoutParameters(error.cause)
  if (hasSqlState(cause, SQLSTATE.notResident)) return new EntryRefusedError('not_resident', cause)
  if (hasSqlState(cause, SQLSTATE.held)) return new EntryRefusedError('held', cause)
  return cause
}

/**
 * One parameter of the entry is its key. Where log_parameter_max_length_on_error is set, which every role may set for
 * itself, the server tells parameters in the context of an error, and errors are logged.
 */
function withoutParameters(error: unknown): unknown {
  if (error instanceof DatabaseError) {
    error.where = undefined
    error.detail = undefined
    error.internalQuery = undefined
  }
  return error
}

function isStalePlanStep(error: unknown): boolean {
  return error instanceof PipelineStepError && isStalePlan(error.cause)
}
