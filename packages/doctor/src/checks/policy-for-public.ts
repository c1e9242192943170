import type { Check } from '../check.ts'
import { isBound, isGuarded, tenantPolicies } from './tenant-policies.ts'

export const policyForPublic: Check = {
  id: 'policy-for-public',
  severity: 'advisory',
  why: 'Without TO it applies to every role that there is or will be, so what was meant for one role opens the table to all.',
  fix: 'Name the role for which the policy is meant: TO <role>. What mends the policy itself mends this.',
  find: (facts) =>
    tenantPolicies(facts)
      .filter(({ policy, table }) => policy.forPublic && policy.isPermissive && !isGuarded(facts, table))
      .filter((one) => !(facts.hasFreehold && one.policy.name === 'freehold_tenant') && !isBound(one))
      .map(({ table, policy }) => ({
        object: table.label,
        found: `Policy ${policy.name} is not held to one tenant and applies to PUBLIC.`,
      })),
}
