import { isFreeholdError } from '@freehold/contract'
import type { ClientBase } from 'pg'
import { claimTarget, forgetTarget, type TargetClaim } from '../database/target-claim.ts'
import { type Move, saveState } from './move.ts'

/** This worker's right to write to the target. */
export function targetClaim(move: Move): TargetClaim {
  return { stream: move.names.stream, fencingToken: move.lease.token }
}

/**
 * Makes the target this worker's. When the move has ended, the row by which newer leases are known is gone; so the catalog
 * is asked afterwards, and a worker whose lease was taken does not become the first again.
 *
 * @throws FreeholdError `lease_lost`
 */
export async function takeTarget(move: Move, client: ClientBase): Promise<void> {
  const claim = targetClaim(move)
  await claimTarget(client, claim)
  try {
    await saveState(move, {})
  } catch (error) {
    if (isFreeholdError(error, 'lease_lost')) await forgetTarget(client, claim)
    throw error
  }
}
