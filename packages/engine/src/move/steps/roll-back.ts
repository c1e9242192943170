import { isFreeholdError } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { readResident } from '../../database/resident.ts'
import { describeFailure } from '../../failure.ts'
import { placementOf } from '../../placements/placement-of.ts'
import { closeSession, type Move, targetScope } from '../move.ts'
import { MAX_ATTEMPTS } from '../transitions.ts'
import { releaseStreams, turnRound } from '../turn-round.ts'
import { awaitCalm } from './await-calm.ts'
import { forgetStreams, leaveSource } from './finalize.ts'
import { declareUnsafe, lostBecause } from './soak.ts'
import { finishSwitch, switchHome } from './switch-home.ts'
import { verify } from './verify.ts'

/** What says that a switch could not be made, and nothing about whether it could be made later. */
const NO_MOMENT = ['cutover_timeout', 'reference_table_too_large', 'operation_retries_exhausted'] as const

/**
 * rolling_back: makes the old home the tenant's home again: the same switch in the other direction, of two sides that have been
 * found equal. Then what was made for the move is removed.
 */
export async function rollBack(move: Move): Promise<'returned' | 'not_switched'> {
  if (!(await hasReturned(move)) && !(await switchBack(move))) return 'not_switched'
  await closeSession(move)
  await releaseStreams(move, null)
  await move.barrier('rolling_back.released')
  await leaveSource(move)
  await move.barrier('rolling_back.left')
  await move.connections.use(move.target.mover, (client) => forgetStreams(client, move))
  await move.barrier('rolling_back.forgotten')
  await move.catalog.ledger.release(
    placementOf(move.source.isolation).entry({ ...move, target: move.source }),
  )
  return 'returned'
}

/** The switch is complete; of what the tenant has left not even a database need be there any more. */
async function hasReturned(move: Move): Promise<boolean> {
  const home = await move.catalog.placements.home(move.operation.tenantId)
  if (home.epoch !== move.target.epoch) return false
  const old = await targetScope(move)
  const resident = await withClient(old.mover, 'freehold-return', (client) => readResident(client, old))
  return resident?.state === 'active'
}

/** @returns false when the tenant stays where it is, which is then recorded with the reason. */
async function switchBack(move: Move): Promise<boolean> {
  if (await finishSwitch(move)) return true
  const { rollbackRequested } = await move.catalog.operations.get(move.operation.id)
  if (!rollbackRequested) return false
  try {
    await turnRound(move)
    await switchOnceEqual(move)
    return true
  } catch (error) {
    if (move.signal.aborted) throw error
    // The switch may have been made, and its answer lost; only its source knows.
    if (await finishSwitch(move)) return true
    const reason = await lostBecause(move, error)
    if (isFreeholdError(error, ...NO_MOMENT)) await callOff(move, error)
    else if (reason !== undefined) await declareUnsafe(move, reason)
    else if (move.operation.attempts + 1 >= MAX_ATTEMPTS) await callOff(move, error)
    else throw error
    return false
  }
}

async function switchOnceEqual(move: Move): Promise<void> {
  for (;;) {
    await verify(move)
    await move.barrier('rolling_back.verified')
    while ((await awaitCalm(move)) === 'settled') {
      const outcome = await switchHome(move)
      if (outcome === 'switched') return
      if (outcome !== 'not_switched') throw outcome.error
      move.signal.throwIfAborted()
    }
  }
}

/** It is certain that nothing has been switched. The next rollback begins to count anew. */
async function callOff(move: Move, error: unknown): Promise<void> {
  const beganAnew = { cutoverToken: null, cutoverAttempts: 0, rehearsalsCalledOff: 0, verifications: 0 }
  move.state = { ...move.state, ...beganAnew }
  await move.catalog.operations.callOffRollback(move.lease, move.state, describeFailure(error))
  await move.barrier('rolling_back.called_off')
}
