import { setTimeout as sleep } from 'node:timers/promises'
import type { MoveDetail } from '@freehold/contract'

const POLL_MS = 100
/** A worker that cannot go on waits 15 s at most until it tries again. */
const STANDSTILL_MS = 120_000
/** Somebody who does the same again and again says so each time. */
const ENDLESS_EVENTS = 400

interface MoveWatch {
  /** What is waited for besides the end. */
  readonly holds?: (move: MoveDetail) => boolean
  /** How long nothing about the move may change. */
  readonly standstillMs?: number | undefined
}

/**
 * Looks at a move until it has ended, or until it is clear that it does not: because nothing about it changes any more, or
 * because the same is tried without end. How long a move takes is the machine's affair, which may be a slow one.
 *
 * @param look what it throws is as good as a move that stands still: the catalog may be away for a while.
 * @returns the move as it was seen last.
 */
export function endOfMove(
  look: () => Promise<MoveDetail>,
  { holds, standstillMs }: MoveWatch = {},
): Promise<MoveDetail> {
  const isOver = (move: MoveDetail) => move.finishedAt !== null || move.events.length > ENDLESS_EVENTS
  return watch(look, (move) => isOver(move) || (holds?.(move) ?? false), standstillMs)
}

/**
 * Looks until what is there is what is wanted, or has not changed for so long that it never will.
 *
 * @returns what was seen last.
 */
export async function watch<T>(
  look: () => Promise<T>,
  isWanted: (seen: T) => boolean,
  standstillMs = STANDSTILL_MS,
): Promise<T> {
  let before: string | undefined
  let since = performance.now()
  for (;;) {
    const [result] = await Promise.allSettled([look()])
    if (result.status === 'fulfilled' && isWanted(result.value)) return result.value
    const now = JSON.stringify(result)
    if (now !== before) since = performance.now()
    before = now
    if (performance.now() > since + standstillMs) {
      if (result.status === 'rejected') throw result.reason
      return result.value
    }
    await sleep(POLL_MS)
  }
}
