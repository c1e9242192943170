import { type Check, tenantTables } from '../check.ts'
import type { Facts, Table } from '../facts/model.ts'
import { ofTable } from '../facts/of-table.ts'
import { policySql, protectSql } from './protect-sql.ts'

export const policyMissing: Check = {
  id: 'policy-missing',
  severity: 'advisory',
  why: 'Without a policy the application sees no row and writes none; what it needs is then often got by a way around.',
  fix: 'Create a policy on the tenant column that applies to the role of the application.',
  find: (facts) =>
    tenantTables(facts)
      .filter(
        (table) =>
          table.rlsEnabled && table.rights.select && !facts.app.bypassesRls && !hasPolicy(facts, table),
      )
      .map((table) => ({
        object: table.label,
        found: `No permissive policy applies to ${facts.app.name}.`,
        sql: facts.hasFreehold ? protectSql(facts, table) : policySql(facts, table),
      })),
}

function hasPolicy(facts: Facts, table: Table): boolean {
  return ofTable(facts.policies, table).some((policy) => policy.isPermissive && policy.appliesToApp)
}
