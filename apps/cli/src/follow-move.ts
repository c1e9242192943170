import { setTimeout as sleep } from 'node:timers/promises'
import {
  FreeholdError,
  type Move,
  type MoveEvent,
  moveEventSchema,
  moveSchema,
  type OperationId,
  readServerSentEvents,
} from '@freehold/contract'
import type { ApiClient } from './api-client.ts'
import { ProblemError } from './problem-error.ts'

/** One piece of news of a move. */
export type MoveNews =
  | { readonly event: 'move'; readonly data: Move }
  | { readonly event: 'timeline'; readonly data: MoveEvent }

/** The API sends a comment more often than this when there is nothing to say. */
const IDLE_MS = 45_000
const FIRST_DELAY_MS = 250
const PATIENCE_MS = 60_000
const TRANSIENT_STATUSES = [429, 502, 503, 504]

/**
 * Follows a move to its end. A stream that breaks is taken up again where it broke, for a minute without success.
 *
 * @throws ProblemError or FreeholdError when the move cannot be followed.
 */
export async function* followMove(
  api: ApiClient,
  id: OperationId,
  signal: AbortSignal,
): AsyncGenerator<MoveNews> {
  let lastEventId: string | undefined
  let heardAt = performance.now()
  for (let failures = 0; ; failures++) {
    try {
      const headers = { accept: 'text/event-stream', ...(lastEventId && { 'last-event-id': lastEventId }) }
      const response = await api.open(`/v1/moves/${id}/events`, headers, signal)
      if (response.body === null) throw new FreeholdError('answer_not_understood')
      for await (const event of readServerSentEvents(response.body, IDLE_MS)) {
        if (event.event === 'end') return
        if (event.event === 'move') yield { event: 'move', data: moveSchema.parse(JSON.parse(event.data)) }
        if (event.event === 'timeline')
          yield { event: 'timeline', data: moveEventSchema.parse(JSON.parse(event.data)) }
        lastEventId = event.id ?? lastEventId
        heardAt = performance.now()
        failures = 0
      }
    } catch (error) {
      if (signal.aborted || isFinal(error) || performance.now() - heardAt > PATIENCE_MS) throw error
    }
    await sleep(Math.min(FIRST_DELAY_MS * 2 ** failures, 5_000), undefined, { signal })
  }
}

function isFinal(error: unknown): boolean {
  if (error instanceof ProblemError) return !TRANSIENT_STATUSES.includes(error.problem.status)
  return error instanceof FreeholdError && error.code !== 'api_unreachable'
}
