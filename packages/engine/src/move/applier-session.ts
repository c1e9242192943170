import { once } from 'node:events'
import type { Applier } from '../stream/change-stream.ts'
import type { Move } from './move.ts'
import { moveStream } from './move-stream.ts'
import { mayRepair } from './repair.ts'
import { requireSameSchema } from './same-schema.ts'
import { takeTarget, targetClaim } from './take-target.ts'

/**
 * The applier of the move's stream: the one this worker has running, or a new one from where the target stands.
 *
 * @throws FreeholdError `lease_lost` when another worker has taken the target over.
 */
export async function runningApplier(move: Move): Promise<Applier> {
  if (move.session.applier !== undefined) return move.session.applier
  const tables = await requireSameSchema(move)
  await move.connections.use(move.target.mover, (mover) => takeTarget(move, mover))
  const stream = await moveStream(move, tables)
  move.session.applier = await stream.startApplier(targetClaim(move).fencingToken, {
    arePassedOver: () => mayRepair(move),
  })
  return move.session.applier
}

/**
 * Waits for work that does not heed the move's signal itself.
 *
 * @throws the reason of the signal, if that comes first.
 */
export async function orAborted<T>({ signal }: Move, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted()
  const done = new AbortController()
  const aborted = once(signal, 'abort', { signal: done.signal }).then((): never => {
    throw signal.reason
  })
  return Promise.race([work(), aborted]).finally(() => done.abort())
}
