import type { ErrorCode } from '@freehold/contract'
import type { Applier } from '../stream/change-stream.ts'
import type { Move } from './move.ts'

/** Whether the target has, within `maxLagMs`, what the source has now. */
export async function isCloseBehind(applier: Applier, maxLagMs: number): Promise<boolean> {
  try {
    return (await applier.drain(maxLagMs)) <= maxLagMs
  } catch (error) {
    if (error instanceof DOMException && error.name === 'TimeoutError') return false
    throw error
  }
}

/** Why a switch waits for its target, or is called off because of it. */
export function behind(maxLagMs: number): string {
  return `The target was more than ${maxLagMs} ms behind the source.`
}

/** What a move ends with that is given up because its switch was called off again and again. */
export type CallOffCode = Extract<ErrorCode, 'cutover_timeout' | 'reference_table_too_large'>

/** Remembers why a switch was called off; the timeline is told once for as long as the reason is the same. */
export function noteCalledOff(
  { session }: Move,
  reason: string,
  code: CallOffCode = 'cutover_timeout',
): void {
  session.calledOff = { reason, code, isTold: session.calledOff?.reason === reason }
}
