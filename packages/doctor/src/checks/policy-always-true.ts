import type { Check } from '../check.ts'
import { isAlwaysTrue } from '../expressions.ts'
import { isGuarded, replaceSql, tenantPolicies } from './tenant-policies.ts'

export const policyAlwaysTrue: Check = {
  id: 'policy-always-true',
  severity: 'blocking',
  why: 'Permissive policies are joined by OR: one that is always true switches all others off.',
  fix: 'Drop the policy, or put the tenant column into it.',
  find: (facts) =>
    tenantPolicies(facts)
      .filter(({ policy, table }) => policy.isPermissive && policy.appliesToApp && !isGuarded(facts, table))
      .filter(({ expressions }) => expressions.some(isAlwaysTrue))
      .map((one) => ({
        object: one.table.label,
        found: `Policy ${one.policy.name} (${one.policy.command}) is always true.`,
        sql: replaceSql(facts, one),
      })),
}
