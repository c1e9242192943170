import { FreeholdError, type MovePhase } from '@freehold/contract'

/** Errors of Freehold's own are answers; of them only these may be different the next time. */
const PASSING = [
  'lease_lost',
  'catalog_unavailable',
  'source_unreachable',
  'target_unreachable',
  'source_busy',
]

/** Whether an error is an answer that no further attempt can change. */
export function isFinal(error: unknown): error is FreeholdError {
  return error instanceof FreeholdError && !PASSING.includes(error.code)
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
