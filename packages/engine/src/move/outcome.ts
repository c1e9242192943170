import { FreeholdError } from '@freehold/contract'

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
