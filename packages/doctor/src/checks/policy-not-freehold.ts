import { quoteIdentifier, quoteLiteral } from '@freehold/postgres'
import { type Check, tenantTables } from '../check.ts'
import type { Facts, Policy, Table } from '../facts/model.ts'
import { ofTable } from '../facts/of-table.ts'
import { protectSql } from './protect-sql.ts'

const TENANT = 'freehold_tenant'
const DELETE = 'freehold_delete'

export const policyNotFreehold: Check = {
  id: 'policy-not-freehold',
  severity: 'blocking',
  why: 'Only the policies that freehold.protect_table() makes recognise a tenant by its entry key, where an id can be set by any SQL, and let nobody write under a fence.',
  fix: 'Run freehold.protect_table() for the table again; where nothing but the version is older, freehold.renew_policies().',
  find: (facts) => {
    if (!facts.hasFreehold) return []
    return tenantTables(facts).flatMap((table) => {
      const complaint = judgeTenant(facts, table) ?? judgeDelete(facts, table)
      if (complaint === undefined) return []
      return [{ object: table.label, found: complaint, sql: protectSql(facts, table) }]
    })
  },
}

const policyOf = (facts: Facts, table: Table, name: string) =>
  ofTable(facts.policies, table).find((one) => one.name === name)

function judgeTenant(facts: Facts, table: Table): string | undefined {
  const policy = policyOf(facts, table, TENANT)
  if (!policy) return `It has no policy ${TENANT}.`
  if (!policy.isPermissive || policy.command !== 'all' || !policy.forPublic) {
    return `Policy ${TENANT} does not apply to every command and role.`
  }
  const isRight =
    isExpected(facts, table, 'entered', policy.using) &&
    isExpected(facts, table, 'entered_to_write', policy.check)
  return isRight ? undefined : changed(policy)
}

function judgeDelete(facts: Facts, table: Table): string | undefined {
  const policy = policyOf(facts, table, DELETE)
  if (!policy) return `It has no policy ${DELETE}.`
  if (policy.isPermissive || policy.command !== 'delete' || !policy.forPublic) {
    return `Policy ${DELETE} does not restrict every role that deletes.`
  }
  return isExpected(facts, table, 'entered_to_write', policy.using) ? undefined : changed(policy)
}

const changed = ({ name, using, check }: Policy) =>
  `Policy ${name} is not what freehold.protect_table() makes it: ${[using, check].filter((one) => one !== null).join(' / ')}`

/** Whether an expression compares the tenant with one of Freehold's views as freehold.protect_table() has it do. */
function isExpected(
  facts: Facts,
  table: Table,
  view: 'entered' | 'entered_to_write',
  expression: string | null,
): boolean {
  return expectedExpressions(facts, table, view).includes((expression ?? '').replaceAll(/\s+/g, ' '))
}

/**
 * What freehold.protect_table() makes the expressions of a table's policies, as the server prints them with nothing but
 * pg_catalog in the search_path: an operator or function of another schema would be printed with it. Nothing is asked
 * of the database, whose functions of that name may be anybody's.
 */
function expectedExpressions(facts: Facts, table: Table, view: 'entered' | 'entered_to_write'): string[] {
  const column = table.columns.find(({ name }) => name === table.tenantColumn)
  if (!column) return []
  const shared = `${view}.schema_name IS NULL`
  const own = `${view}.schema_name = ${quoteLiteral(table.schema)}::name`
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
      const tenant = `( SELECT CASE WHEN (${isSchema}) THEN ${view}.tenant_id ELSE NULL::text END AS tenant_id FROM freehold.${view})`
      if (column.type === 'text') return `(${name} = ${tenant})`
      // varchar has no comparison of its own: the server compares both as text.
      if (column.baseType === 'character varying')
        return `((${name})::text = ((${tenant})::${column.type})::text)`
      return `(${name} = (${tenant})::${column.type})`
    }),
  )
}
