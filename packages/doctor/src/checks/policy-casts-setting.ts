import type { Check } from '../check.ts'
import { castsBareSetting } from '../expressions.ts'
import { rewriteSql, tenantPolicies } from './tenant-policies.ts'

export const policyCastsSetting: Check = {
  id: 'policy-casts-setting',
  severity: 'advisory',
  why: "A setting that was local to a transaction is '' after it, not null: the cast then fails in the next transaction of the connection.",
  fix: "Guard the cast: nullif(current_setting('...', true), '').",
  find: (facts) =>
    tenantPolicies(facts)
      .filter(({ expressions }) => expressions.some(castsBareSetting))
      .map((one) => ({
        object: one.table.label,
        found: `Policy ${one.policy.name} casts a setting without nullif: ${one.expressions.join(' / ')}`,
        sql: rewriteSql(facts, one),
      })),
}
