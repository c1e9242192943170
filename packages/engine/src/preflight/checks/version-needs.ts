import { tableKey } from '../../database/table-key.ts'
import type { RoutineUse } from '../facts/version-needs.ts'
import type { Finding } from '../finding.ts'

/** The first with an interval that is infinite. */
const FIRST_WITH_INFINITY = 17

interface Older {
  /** The cluster's name. */
  readonly name: string
  readonly major: number
}

/** Whether one version may hold intervals that the other cannot. */
export function holdsInfinity(from: number, to: number): boolean {
  return from >= FIRST_WITH_INFINITY && to < FIRST_WITH_INFINITY
}

/** What the product is made with and could not be made at the target. */
export function checkRoutines(
  target: Older,
  uses: readonly RoutineUse[],
  missing: ReadonlySet<string>,
  schema: string,
): Finding[] {
  return uses
    .filter(({ routine, since }) =>
      routine === null ? since !== null && since > target.major : missing.has(routine),
    )
    .map(({ schema: of, name, part, called }) => {
      const key = tableKey({ schema: of, name }, schema)
      return {
        code: 'routine_missing',
        object: key,
        found: `${key}: ${part} uses ${called}, which PostgreSQL ${target.major} on ${target.name} does not have.`,
      }
    })
}

/** Which columns have values that the target cannot hold. */
export function checkIntervals(
  target: Older,
  infinite: readonly { readonly table: string; readonly column: string }[],
): Finding[] {
  return infinite.map(({ table, column }) => ({
    code: 'value_unsupported',
    object: table,
    found: `${table}: ${column} has an infinite interval, and PostgreSQL ${target.major} on ${target.name} cannot hold one.`,
  }))
}
