import { FreeholdError, type MovePhase } from '@freehold/contract'
import { isConnectionError } from '@freehold/postgres'
import pg from 'pg'

/** Errors of Freehold's own are answers; of them only these may be different the next time. */
const PASSING = [
  'lease_lost',
  'catalog_unavailable',
  'source_unreachable',
  'target_unreachable',
  'source_busy',
]

/**
 * What a server says that lets nobody in, or not us (28, 42501), has no connection, memory or disk left (53), is being ended or
 * interfered with (57), cannot read its files (58), takes no writes (25006), or has others in the way (40, 55P03).
 */
const ABOUT_THE_SERVER = /^(28|40|53|57|58|25006$|42501$|55P03$)/

/** Whether an error is about a server, and not about what is moved: it may pass by itself, or by an operator's hand. */
export function mayPass(error: unknown): boolean {
  if (error instanceof FreeholdError) return PASSING.includes(error.code)
  if (isConnectionError(error)) return true
  return error instanceof pg.DatabaseError && ABOUT_THE_SERVER.test(error.code ?? '')
}

/** Whether an error is an answer that no further attempt can change. */
export function isFinal(error: unknown): error is FreeholdError {
  return error instanceof FreeholdError && !PASSING.includes(error.code)
}

/**
 * What a server says to a value that it cannot hold: a number, a date, an interval, a text of its encoding. Others of the class are
 * about the mover's own statements: a snapshot that is gone is an invalid parameter.
 */
const ABOUT_A_VALUE = ['22003', '22007', '22008', '22015', '22021', '22P02', '22P03', '22P05']

/** Tried again, it would be refused again. Which value it is, no message tells: it is the tenant's. */
export function refusedValue(error: unknown): FreeholdError | undefined {
  if (!(error instanceof pg.DatabaseError)) return
  const { code = '' } = error
  if (!ABOUT_A_VALUE.includes(code)) return
  const where = error.table === undefined ? '' : ` of ${error.table}`
  return new FreeholdError('value_refused', `PostgreSQL answered SQLSTATE ${code} to a value${where}.`, {
    cause: error,
    details: { sqlstate: code },
  })
}

/** What says that the tables at the source, or at the target, are not what they were when the copy began. */
const CHANGED_TABLES = ['schema_mismatch', 'table_without_tenant_column']

/** Phases in which there is a stream or a copy that the tables may change under. */
const COPIED_PHASES: readonly MovePhase[] = ['dual_write', 'backfill', 'verify', 'ready']

/** Whether a move has met tables that were changed under it: copied anew it can go on, once somebody says that they are right. */
export function isSchemaChange(phase: MovePhase, error: unknown): error is FreeholdError {
  return (
    error instanceof FreeholdError && CHANGED_TABLES.includes(error.code) && COPIED_PHASES.includes(phase)
  )
}
