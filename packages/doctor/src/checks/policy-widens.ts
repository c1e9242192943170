import type { Check } from '../check.ts'
import { isAlwaysTrue } from '../expressions.ts'
import { isBound, isGuarded, replaceSql, tenantPolicies } from './tenant-policies.ts'

export const policyWidens: Check = {
  id: 'policy-widens',
  severity: 'blocking',
  why: 'Permissive policies are joined by OR: one that does not compare the tenant column shows rows of other tenants.',
  fix: 'Put the tenant column into the policy, make it AS RESTRICTIVE, or drop it.',
  find: (facts) =>
    tenantPolicies(facts)
      .filter(({ policy, table }) => policy.isPermissive && policy.appliesToApp && !isGuarded(facts, table))
      .filter((one) => !(facts.hasFreehold && one.policy.name === 'freehold_tenant'))
      .filter((one) => !isBound(one) && !one.expressions.some(isAlwaysTrue))
      .map((one) => ({
        object: one.table.label,
        found: `Policy ${one.policy.name} (${one.policy.command}) is not held to one tenant: ${one.expressions.join(' / ')}`,
        sql: replaceSql(facts, one),
      })),
}
