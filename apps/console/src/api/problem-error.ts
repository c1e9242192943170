import { type ErrorCode, FreeholdError, type Problem } from '@freehold/contract'

/** What an answer of the control API (or its absence) says went wrong. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError'
  readonly problem: Problem

  constructor(problem: Problem, cause?: unknown) {
    super(problem.detail, { cause })
    this.problem = problem
  }
}

/** A problem that the console itself found, in the words of the registry. */
export function localProblem(code: ErrorCode, detail: string): Problem {
  return new FreeholdError(code, detail).toProblem()
}

/** The problem of whatever was thrown, so that every error is shown with a code and what to do next. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem
  return localProblem('internal', error instanceof Error ? error.message : String(error))
}

const transientStatuses = new Set([429, 502, 503, 504])

/** Whether the same request may well succeed a moment later. */
export function isTransient(error: unknown): boolean {
  return (
    error instanceof ProblemError &&
    error.problem.code !== 'answer_not_understood' &&
    transientStatuses.has(error.problem.status)
  )
}
