import { FreeholdError } from '@freehold/contract'
import { hasSqlState, quoteTable, SQLSTATE, violatedConstraint } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { tableKey } from './table-key.ts'
import type { TablePair } from './tables.ts'

/**
 * What it means that a row which the source has cannot be put to the target because of a key: another tenant of the pool has
 * what it brings, under a key that is unique among all of them.
 *
 * @returns undefined for any other error.
 */
export function keyCollision(error: unknown): FreeholdError | undefined {
  if (!hasSqlState(error, SQLSTATE.uniqueViolation, SQLSTATE.exclusionViolation)) return undefined
  const constraint = violatedConstraint(error) ?? ''
  const table = error.table ?? ''
  return new FreeholdError(
    'key_collision',
    `A row of ${table} has a key that another tenant has at the target, and ${constraint} does not tell tenants apart.`,
    { cause: error, details: { table, constraint } },
  )
}

/**
 * What it means that a change could not be applied: a collision with another tenant, as {@link keyCollision}, or a row of the
 * tenant's own that the target has and the source does not. Neither is cured by another attempt.
 *
 * @param target where the change was refused; what it has open is rolled back.
 * @returns the error itself when it is none of these, or the target cannot be asked.
 */
export async function explainRefusedChange(
  target: ClientBase,
  error: unknown,
  tables: readonly TablePair[],
): Promise<unknown> {
  const collision = keyCollision(error)
  if (collision === undefined || !hasSqlState(error, SQLSTATE.uniqueViolation, SQLSTATE.exclusionViolation)) {
    return error
  }
  const { schema = '', table: name = '', constraint = '' } = error
  try {
    await target.query('rollback')
    const found = await target.query(
      `select from pg_index join pg_attribute on attrelid = indrelid and attnum = any (indkey)
       where indexrelid = $1::regclass and attname = any ($2)`,
      [quoteTable({ schema, name: constraint }), tables.map((pair) => pair.target.tenantColumn)],
    )
    return found.rowCount === 0 ? collision : diverged(`A row of ${tableKey({ schema, name })}`, 'is')
  } catch {
    return error
  }
}

/** The error for a change of the source that does not fit what the target has. */
export function diverged(what: string, found: 'is' | 'is not'): FreeholdError {
  return new FreeholdError(
    'verification_failed',
    `${what} from the source ${found === 'is' ? 'is at the target already' : 'found no row to act on at the target'}: the two have diverged.`,
  )
}
