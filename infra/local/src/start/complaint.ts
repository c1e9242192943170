import { inspect } from 'node:util'
import { errorRegistry, FreeholdError, isFreeholdError } from '@freehold/contract'
import type { RunLog } from './run-log.ts'

/** What is said of an error: what happened and what to do. Of one that nobody foresaw, the log gets the rest. */
export function complaintOf(error: unknown, log: RunLog | undefined): string {
  const { code, message } = isFreeholdError(error) ? error : unforeseen(error, log)
  return `${message}\n${errorRegistry[code].next}  (${code})`
}

function unforeseen(error: unknown, log: RunLog | undefined): FreeholdError {
  const message = `Freehold cannot run: ${textOf(error)}`
  if (!log?.isBegun) return new FreeholdError('stack_start_failed', message)
  log.write(`[start] ${inspect(error)}`)
  return new FreeholdError('stack_start_failed', `${message}\nMore is in ${log.path}`)
}

/** On one line. What `fetch` has to say stands in the cause. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : ''
  return `${error.message}${cause}`.replaceAll(/\s*\n\s*/g, ' ')
}
