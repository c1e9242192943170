import type { Check } from '../check.ts'
import { readsSetting } from '../expressions.ts'
import { tenantPolicies } from './tenant-policies.ts'

export const policyTrustsSetting: Check = {
  id: 'policy-trusts-setting',
  severity: 'advisory',
  why: 'Any SQL may set it: an injected set_config() makes one tenant another, and row security believes it.',
  fix: "Let row security recognise a tenant by a key that SQL cannot guess, as Freehold's entry does, and never build SQL from text.",
  find: (facts) => {
    const tables = tenantPolicies(facts)
      .filter(({ expressions }) => expressions.some(readsSetting))
      .map(({ table }) => table.label)
    const count = new Set(tables).size
    if (count === 0) return []
    return [
      {
        object: facts.tenantSettings.join(', ') || 'current_setting()',
        found: `The policies of ${count} ${count === 1 ? 'table' : 'tables'} take the tenant from a setting.`,
      },
    ]
  },
}
