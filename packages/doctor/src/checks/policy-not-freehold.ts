import { quoteIdentifier, quoteLiteral } from '@freehold/postgres'
import { type Check, tenantTables } from '../check.ts'
import type { Facts, Policy, Table } from '../facts/model.ts'
import { ofTable } from '../facts/of-table.ts'
import { protectSql } from './protect-sql.ts'

const NAME = 'freehold_tenant'

export const policyNotFreehold: Check = {
  id: 'policy-not-freehold',
  severity: 'blocking',
  why: 'Only the policy that freehold.protect_table() makes recognises a tenant by its entry key; an id can be set by any SQL.',
  fix: 'Run freehold.protect_table() for the table again.',
  find: (facts) => {
    if (!facts.hasFreehold) return []
    return tenantTables(facts).flatMap((table) => {
      const policy = ofTable(facts.policies, table).find((one) => one.name === NAME)
      const complaint = policy ? judge(facts, table, policy) : `It has no policy ${NAME}.`
      if (complaint === undefined) return []
      return [{ object: table.label, found: complaint, sql: protectSql(facts, table) }]
    })
  },
}

function judge(facts: Facts, table: Table, policy: Policy): string | undefined {
  const { using, check } = policy
  if (!policy.isPermissive || policy.command !== 'all' || !policy.forPublic) {
    return `Policy ${NAME} does not apply to every command and role.`
  }
  const expected = expectedExpressions(facts, table)
  const isRight = [using, check].every((expression) => expected.includes(withoutBreaks(expression ?? '')))
  return isRight
    ? undefined
    : `Policy ${NAME} is not what freehold.protect_table() makes it: ${using} / ${check}`
}

const withoutBreaks = (expression: string) => expression.replaceAll(/\s+/g, ' ')

/**
 * What freehold.protect_table() makes the expressions of a table's policy, as the server prints them with nothing but
 * pg_catalog in the search_path: an operator or function of another schema would be printed with it. Nothing is asked
 * of the database, whose functions of that name may be anybody's.
 */
function expectedExpressions(facts: Facts, table: Table): string[] {
  const column = table.columns.find(({ name }) => name === table.tenantColumn)
  if (!column) return []
  const shared = 'entered.schema_name IS NULL'
  const own = `entered.schema_name = ${quoteLiteral(table.schema)}::name`
  const schemas =
    facts.tenantSchemas === null
      ? [shared, own]
      : facts.tenantSchemas.includes(table.schema)
        ? [own]
        : [shared]
  // A name is printed in quotes where it has to be.
  const isPlain = /^[a-z_][a-z0-9_]*$/.test(column.name)
  const names = [quoteIdentifier(column.name), ...(isPlain ? [column.name] : [])]
  return schemas.flatMap((isSchema) =>
    names.map((name) => {
      const entered = `( SELECT CASE WHEN (${isSchema}) THEN entered.tenant_id ELSE NULL::text END AS tenant_id FROM freehold.entered)`
      if (column.type === 'text') return `(${name} = ${entered})`
      // varchar has no comparison of its own: the server compares both as text.
      if (column.baseType === 'character varying')
        return `((${name})::text = ((${entered})::${column.type})::text)`
      return `(${name} = (${entered})::${column.type})`
    }),
  )
}
