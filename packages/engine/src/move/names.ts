import type { Lease } from '@freehold/catalog'
import type { OperationId } from '@freehold/contract'

/**
 * The names of what a move creates. What only one lease may use carries its fencing token: a worker whose lease was
 * taken can neither remove what its successor uses nor put another, that begins later, in its place.
 */
export function moveNames({ id, token }: Lease) {
  const move = id.replaceAll('-', '')
  return {
    stream: streamName(id),
    /** What the change stream makes at the source. */
    atSource: `freehold_${move}_${token}`,
  }
}

/** The stream's row in `freehold.applied`, and its markers in the log: the same for every lease. */
export function streamName(id: OperationId): string {
  return `freehold_move_${id.replaceAll('-', '')}`
}

/** What a lease calls a database or schema of the tenant's own. The first lease takes the name of the plan. */
export function nameOfLease(planned: string, { token }: Lease): string {
  const base = planned.replace(/_t\d+$/, '')
  return token === 1 ? base : `${base}_t${token}`
}
