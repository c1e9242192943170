import type { Lease } from '@freehold/catalog'
import type { OperationId } from '@freehold/contract'

/** Which way changes are carried: to the target, or in the rollback window to where the tenant came from. */
export type Direction = 'forth' | 'back'

/**
 * The names of what a move creates in a direction. What only one lease may use carries its fencing token: a worker whose lease was
 * taken can neither remove what its successor uses nor put another, that begins later, in its place.
 */
export function moveNames({ id, token }: Lease, direction: Direction) {
  const move = id.replaceAll('-', '')
  return {
    stream: streamName(id, direction),
    /** What the change stream makes at the source. Short: a slot's name has 63 characters, and others begin with it. */
    atSource: direction === 'forth' ? `freehold_${move}_${token}` : `freehold_b_${move}_${token}`,
  }
}

/** The stream's row in `freehold.applied`, and its markers in the log: the same for every lease. */
export function streamName(id: OperationId, direction: Direction): string {
  return `freehold_${direction === 'forth' ? 'move' : 'back'}_${id.replaceAll('-', '')}`
}

/** What a lease calls a database or schema of the tenant's own. The first lease takes the name of the plan. */
export function nameOfLease(planned: string, { token }: Lease): string {
  const base = planned.replace(/_t\d+$/, '')
  return token === 1 ? base : `${base}_t${token}`
}
