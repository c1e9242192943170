import { isFreeholdError } from '@freehold/contract'
import type { Lsn } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { readSwitchPoint } from '../database/resident.ts'
import { claimTarget, forgetTarget, type TargetClaim } from '../database/target-claim.ts'
import { type Move, saveState } from './move.ts'
import { type Direction, moveNames } from './names.ts'

/** This worker's right to write to the target. */
export function targetClaim(move: Move): TargetClaim {
  return claimOf(move, move.direction)
}

/** This worker's right to write to the source: that of the stream in the other direction, whose target it is. */
export function sourceClaim(move: Move): TargetClaim {
  return claimOf(move, move.direction === 'forth' ? 'back' : 'forth')
}

function claimOf({ lease }: Move, direction: Direction): TargetClaim {
  return { stream: moveNames(lease, direction).stream, fencingToken: lease.token }
}

/**
 * Makes the target this worker's.
 *
 * @throws FreeholdError `lease_lost`
 */
export async function takeTarget(move: Move, client: ClientBase): Promise<void> {
  await take(move, client, targetClaim(move), await streamBegins(move))
}

/**
 * Makes the source this worker's, which the tenant has left: nothing is carried there any more.
 *
 * @throws FreeholdError `lease_lost`
 */
export async function takeSource(move: Move, client: ClientBase): Promise<void> {
  await take(move, client, sourceClaim(move), 0n)
}

/**
 * When the move has ended, the row by which newer leases are known is gone; so the catalog is asked afterwards, and a worker
 * whose lease was taken does not become the first again.
 */
async function take(move: Move, client: ClientBase, claim: TargetClaim, begins: Lsn): Promise<void> {
  const first = await claimTarget(client, claim, begins)
  try {
    await saveState(move, {})
  } catch (error) {
    // Of a move that has ended nothing is read there any more, whoever has claimed before.
    if (isFreeholdError(error, 'lease_lost') && (first || (await hasEnded(move))))
      await forgetTarget(client, claim)
    throw error
  }
}

async function hasEnded({ catalog, lease }: Move): Promise<boolean> {
  return (await catalog.operations.get(lease.id)).finishedAt !== null
}

/** Back, the stream begins at the switch: what precedes it in the log came from where it would be carried to. */
async function streamBegins(move: Move): Promise<Lsn> {
  if (move.direction === 'forth') return 0n
  move.session.streamBegins ??= await move.connections.use(move.source.mover, (client) =>
    readSwitchPoint(client, targetClaim(move).stream),
  )
  return move.session.streamBegins
}
