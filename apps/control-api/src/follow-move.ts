import type { Catalog } from '@freehold/catalog'
import { isFreeholdError, type Move, type MoveEvent, type OperationId } from '@freehold/contract'
import { createSignalBell } from './bell.ts'

/** What a follower of a move hears. `alive`: nothing has changed for a while. */
export type MoveNews =
  | { readonly kind: 'timeline'; readonly event: MoveEvent }
  | { readonly kind: 'move'; readonly move: Move }
  | { readonly kind: 'alive' }
  | { readonly kind: 'end' }

export interface FollowOptions {
  readonly catalog: Catalog
  readonly id: OperationId
  /** The last entry of the timeline that the follower has; 0: none. */
  readonly afterSequence: number
  /** Ends the news, without `end`. */
  readonly signal: AbortSignal
}

/** At most ten times a second is the move read anew, however fast it changes. */
const PAUSE_MS = 100
const ALIVE_MS = 15_000
const UNAVAILABLE_PAUSE_MS = 1_000

/**
 * Tells how a move goes on: first as it is now, then every change, until it has ended. While the control database is
 * away there is no news, and afterwards what was missed.
 */
export async function* followMove(options: FollowOptions): AsyncGenerator<MoveNews> {
  const { catalog, id, signal } = options
  const bell = createSignalBell(signal)
  const unsubscribe = await catalog.announcements.subscribe((announcement) => {
    if (announcement.kind === 'all' || (announcement.kind === 'operation' && announcement.id === id))
      bell.ring()
  })
  try {
    let after = options.afterSequence
    let shown: string | undefined
    while (!signal.aborted) {
      const news = await readNews(catalog, id, after)
      if (news === undefined) {
        yield { kind: 'alive' }
        await bell.silence(UNAVAILABLE_PAUSE_MS)
        continue
      }
      for (const event of news.events) {
        yield { kind: 'timeline', event }
        after = event.sequence
      }
      const now = JSON.stringify(news.move)
      if (now !== shown) yield { kind: 'move', move: news.move }
      shown = now
      if (news.move.finishedAt !== null) return yield { kind: 'end' }
      await bell.silence(PAUSE_MS)
      if (!(await bell.rung(ALIVE_MS))) yield { kind: 'alive' }
    }
  } finally {
    unsubscribe()
  }
}

/** The move is read before its timeline: when it has ended, the timeline that follows is complete. */
async function readNews(
  catalog: Catalog,
  id: OperationId,
  after: number,
): Promise<{ move: Move; events: MoveEvent[] } | undefined> {
  try {
    const move = await catalog.moves.get(id)
    return { move, events: await catalog.moves.events(id, after) }
  } catch (error) {
    if (isFreeholdError(error, 'catalog_unavailable')) return undefined
    throw error
  }
}
