import type { Problem } from '@freehold/contract'

/** A problem in a line of a table: what it is, and what to do next. */
export function ProblemCell({ problem }: { problem: Problem | null }) {
  if (problem === null) return <span className="dim">none</span>
  return (
    <>
      <code>{problem.code}</code>: {problem.detail} <span className="dim">Next: {problem.next}</span>
    </>
  )
}
