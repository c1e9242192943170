import {
  type Move,
  type MoveEvent,
  moveEventSchema,
  moveSchema,
  type Problem,
  readServerSentEvents,
  type ServerSentEvent,
} from '@freehold/contract'
import type { z } from 'zod'
import { isTransient, localProblem, ProblemError, problemOf } from './problem-error.ts'
import { send } from './request.ts'

/** `live`: events arrive as they happen. `ended`: the move is over. `refused`: it cannot be followed. */
export type Connection = 'connecting' | 'live' | 'reconnecting' | 'ended' | 'refused'

export interface MoveListener {
  onMove(move: Move): void
  onTimeline(event: MoveEvent): void
  onConnection(connection: Connection): void
  onRefused(problem: Problem): void
}

/** The server sends a comment more often than this when there is nothing to say. */
const IDLE_MILLISECONDS = 45_000
const FIRST_DELAY_MILLISECONDS = 250
const LONGEST_DELAY_MILLISECONDS = 10_000

/**
 * Follows a move until it ends, it cannot be followed, or the signal aborts. A broken stream is taken up again
 * where it broke, after a growing pause.
 *
 * @param after sequence of the last timeline event that is already known.
 */
export async function followMove(
  id: string,
  after: number | undefined,
  listener: MoveListener,
  signal: AbortSignal,
): Promise<void> {
  let lastEventId = after === undefined ? undefined : String(after)
  let failures = 0
  listener.onConnection('connecting')
  while (!signal.aborted) {
    try {
      for await (const event of openStream(id, lastEventId, () => listener.onConnection('live'), signal)) {
        failures = 0
        lastEventId = event.id ?? lastEventId
        if (event.event === 'end') return listener.onConnection('ended')
        deliver(event, listener)
      }
    } catch (error) {
      if (signal.aborted) return
      if (isFinal(error)) return refuse(error, listener)
    }
    listener.onConnection('reconnecting')
    await pause(failures, signal)
    failures += 1
  }
}

async function* openStream(
  id: string,
  lastEventId: string | undefined,
  onOpen: () => void,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent, void> {
  const headers = {
    accept: 'text/event-stream',
    ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
  }
  const response = await send(`/v1/moves/${encodeURIComponent(id)}/events`, { headers, signal })
  if (response.body === null) return
  onOpen()
  yield* readServerSentEvents(response.body, IDLE_MILLISECONDS)
}

function deliver(event: ServerSentEvent, listener: MoveListener): void {
  if (event.event === 'move') listener.onMove(parse(moveSchema, event))
  if (event.event === 'timeline') listener.onTimeline(parse(moveEventSchema, event))
}

function parse<T>(schema: z.ZodType<T>, event: ServerSentEvent): T {
  try {
    return schema.parse(JSON.parse(event.data))
  } catch (cause) {
    const detail = `An event of type ${event.event} has an unexpected shape.`
    throw new ProblemError(localProblem('answer_not_understood', detail), cause)
  }
}

/** A refusal that repeating will not change, as against a connection that broke. */
function isFinal(error: unknown): boolean {
  return error instanceof ProblemError && !isTransient(error)
}

function refuse(error: unknown, listener: MoveListener): void {
  listener.onConnection('refused')
  listener.onRefused(problemOf(error))
}

/** Grows with the failures, with jitter, so that consoles do not return to a restarted server all at once. */
function pause(failures: number, signal: AbortSignal): Promise<void> {
  const longest = Math.min(LONGEST_DELAY_MILLISECONDS, FIRST_DELAY_MILLISECONDS * 2 ** failures)
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, longest * (0.5 + Math.random() / 2))
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true },
    )
  })
}
