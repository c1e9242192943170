import { once } from 'node:events'
import type { Directions } from '@freehold/catalog'
import { FreeholdError, type MovePhase } from '@freehold/contract'
import { isConnectionError, withClient } from '@freehold/postgres'
import { runningApplier } from './applier-session.ts'
import type { Move } from './move.ts'

/** What people say is heard between two of these. */
const DRAIN_TIMEOUT_MS = 1_000

/** Phases that a paused move does not enter. The switch has its own guard, in the catalog; giving up is not paused. */
const pausable: Readonly<Partial<Record<MovePhase, true>>> = {
  provisioning: true,
  dual_write: true,
  backfill: true,
  verify: true,
  ready: true,
  finalize: true,
}

export const isPaused = ({ paused }: Directions) => paused

/** Before a step: waits while the move is paused. */
export async function holdStep(move: Move, phase: MovePhase): Promise<void> {
  if (pausable[phase]) await holdWhile(move, isPaused, phase === 'verify' || phase === 'ready')
}

/**
 * Waits as long as people have the move wait. Meanwhile its place in this worker is somebody else's; what it has open
 * stays open.
 *
 * @param inStep whether the target is kept in step with the source.
 * @throws the reason of the move's signal; FreeholdError `change_stream_failed` when the source has given the stream up.
 */
export function holdWhile(
  move: Move,
  holds: (directions: Directions) => boolean,
  inStep: boolean,
): Promise<void> {
  if (!holds(move.orders.directions)) return Promise.resolve()
  move.session.hold ??= hold(move, holds, inStep).finally(() => {
    delete move.session.hold
  })
  return move.session.hold
}

async function hold(move: Move, holds: (directions: Directions) => boolean, inStep: boolean): Promise<void> {
  move.place.leave()
  // It may be for days.
  await move.connections.close()
  while (holds(move.orders.directions)) {
    const news = move.orders.next()
    if (inStep) await keepInStep(move)
    await showLag(move)
    move.signal.throwIfAborted()
    await unlessAborted(news, move.signal)
  }
  await move.place.takeAgain()
  move.signal.throwIfAborted()
}

/** A server that is away for a while does not count against a move that has nothing to do. */
async function keepInStep(move: Move): Promise<void> {
  try {
    const applier = await runningApplier(move)
    await applier.drain(DRAIN_TIMEOUT_MS)
  } catch (error) {
    if (error instanceof DOMException && error.name === 'TimeoutError') return
    if (!isConnectionError(error)) throw error
    await move.session.applier?.close()
    delete move.session.applier
  }
}

/** What the source keeps for a move that waits is not bounded by anything that the move does, so it is shown. */
async function showLag(move: Move): Promise<void> {
  const { streamAtSource: slot } = move.state
  if (slot === null) return
  const read = withClient(move.source.mover, 'freehold-hold', (source) =>
    source.query<{ lost: boolean; lag: string | null }>(
      `select wal_status = 'lost' as lost, pg_wal_lsn_diff(pg_current_wal_flush_lsn(), confirmed_flush_lsn) as lag
       from pg_replication_slots where slot_name = $1`,
      [slot],
    ),
  )
  const found = await read.catch((error: unknown) => {
    if (!isConnectionError(error)) throw error
  })
  const state = found?.rows[0]
  if (state?.lost) throw new FreeholdError('change_stream_failed', `Replication slot ${slot} is lost.`)
  if (state?.lag != null) move.progress.update({ lagBytes: Math.max(0, Number(state.lag)) })
}

async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const done = new AbortController()
  const aborted = once(signal, 'abort', { signal: done.signal }).catch(() => undefined)
  await Promise.race([work, aborted])
  done.abort()
}
