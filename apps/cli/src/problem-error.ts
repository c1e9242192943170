import { FreeholdError, type Problem } from '@freehold/contract'

/** What the control API answered instead of what was asked for. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError'
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.detail)
    this.problem = problem
  }
}

/** The problem of whatever was thrown, so that every error is told with a code and what to do next. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem
  if (error instanceof FreeholdError) return error.toProblem()
  return new FreeholdError('internal', error instanceof Error ? error.message : String(error)).toProblem()
}

/** A problem for people: the code, what happened, what to do next. */
export function describeProblem(problem: Problem): string {
  const issues = (problem.issues ?? []).map((issue) => `  ${issue.path}: ${issue.message}`)
  const happened = problem.detail === problem.title ? problem.title : `${problem.title}. ${problem.detail}`
  const request = problem.instance === undefined ? [] : [`Request: ${problem.instance}`]
  return [`Error ${problem.code}: ${happened}`, ...issues, `Next: ${problem.next}`, ...request].join('\n')
}
