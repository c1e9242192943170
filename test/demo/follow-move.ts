import { setTimeout as sleep } from 'node:timers/promises'
import type { Move, MoveDetail, MoveEvent } from '@freehold/contract'
import type { ControlClient } from '../kit/control-client.ts'

const POLL_MS = 100

/** What can be seen of a move while it runs. */
export interface MoveObserver {
  /** A new entry of its timeline. */
  event(move: Move, event: MoveEvent): void
  /** How it stands. */
  progress(move: Move): void
}

/**
 * Follows a move to its end, or to the deadline: then what is returned has not ended.
 *
 * @param patienceMs the longest time that the move may take.
 */
export async function followMove(
  control: ControlClient,
  id: string,
  options: { readonly patienceMs: number; readonly observer: MoveObserver; readonly signal: AbortSignal },
): Promise<MoveDetail> {
  const deadline = performance.now() + options.patienceMs
  let seen = 0
  for (;;) {
    const move = await control.move(id)
    for (const event of move.events.slice(seen)) options.observer.event(move, event)
    seen = move.events.length
    options.observer.progress(move)
    if (move.finishedAt !== null || performance.now() > deadline) return move
    await sleep(POLL_MS, undefined, { signal: options.signal })
  }
}
