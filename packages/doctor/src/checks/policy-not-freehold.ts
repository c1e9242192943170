import { type Check, tenantTables } from '../check.ts'
import { isTenantBound } from '../expressions.ts'
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
  const expected = facts.freeholdPolicies.get(table.oid)
  const isRight = expected
    ? expected.using === using && expected.check === check
    : [using, check].every((expression) => expression !== null && looksRight(expression, table))
  return isRight
    ? undefined
    : `Policy ${NAME} is not what freehold.protect_table() makes it: ${using} / ${check}`
}

/** For a connection that may not ask freehold.protect_table(). */
function looksRight(expression: string, table: Table): boolean {
  return expression.includes('freehold.entered') && isTenantBound(expression, table.tenantColumn ?? '')
}
