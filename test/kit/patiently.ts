import { isFreeholdError } from '@freehold/contract'
import { isConnectionError, retry } from '@freehold/postgres'

/** Reads what is there, also from a server that is too busy to let anybody in for a while. `read` may be run several times. */
export function patiently<T>(read: () => Promise<T>): Promise<T> {
  return retry(read, { when: isAway, attempts: 10, firstDelayMs: 100 })
}

function isAway(error: unknown): boolean {
  return (
    isConnectionError(error) ||
    isFreeholdError(error, 'catalog_unavailable', 'source_unreachable', 'target_unreachable')
  )
}
