import type { Check } from '../check.ts'
import { wrapsColumn } from '../expressions.ts'
import { rewriteSql, tenantPolicies } from './tenant-policies.ts'

export const policyDefeatsIndex: Check = {
  id: 'policy-defeats-index',
  severity: 'advisory',
  why: 'With the tenant column cast or inside a function no index on it is used: every query reads the rows of all tenants.',
  fix: "Cast the setting and leave the column alone: tenant_id = (select nullif(current_setting('...', true), '')::uuid).",
  find: (facts) =>
    tenantPolicies(facts)
      .filter(({ expressions, column, table }) => {
        const type = table.columns.find(({ name }) => name === column)?.type ?? ''
        return expressions.some((expression) => wrapsColumn(expression, column, type))
      })
      .map((one) => ({
        object: one.table.label,
        found: `Policy ${one.policy.name} wraps the tenant column: ${one.expressions.join(' / ')}`,
        sql: rewriteSql(facts, one),
      })),
}
