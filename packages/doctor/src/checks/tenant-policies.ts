import { quoteIdentifier } from '@freehold/postgres'
import { tenantTables } from '../check.ts'
import { isComparison, isTenantBound } from '../expressions.ts'
import type { Facts, Policy, Table } from '../facts/model.ts'
import { ofTable } from '../facts/of-table.ts'
import { policySql, protectSql, tenantCondition } from './protect-sql.ts'

/** A policy of a tenant table. */
export interface TenantPolicy {
  readonly table: Table
  readonly column: string
  readonly policy: Policy
  /** Its expressions, each as it takes effect. */
  readonly expressions: readonly string[]
}

const known = new WeakMap<Facts, readonly TenantPolicy[]>()

/** The policies of tenant tables. */
export function tenantPolicies(facts: Facts): readonly TenantPolicy[] {
  const before = known.get(facts)
  if (before) return before
  const policies = tenantTables(facts).flatMap((table) => policiesOf(facts, table))
  known.set(facts, policies)
  return policies
}

function policiesOf(facts: Facts, table: Table): TenantPolicy[] {
  return ofTable(facts.policies, table).map((policy) => ({
    table,
    column: table.tenantColumn ?? facts.tenantColumn,
    policy,
    expressions: [policy.using, policy.check].filter((expression) => expression !== null),
  }))
}

/** Whether every expression of a policy lets only one tenant's rows through. */
export function isBound({ expressions, column }: TenantPolicy): boolean {
  return expressions.length > 0 && expressions.every((expression) => isTenantBound(expression, column))
}

/** Whether a restrictive policy keeps tenants apart whatever the permissive ones allow. */
export function isGuarded(facts: Facts, table: Table): boolean {
  return policiesOf(facts, table).some(
    (one) =>
      !one.policy.isPermissive && one.policy.command === 'all' && one.policy.appliesToApp && isBound(one),
  )
}

/** Takes a policy away, and makes sure that one which keeps tenants apart is left. */
export function replaceSql(facts: Facts, { table, policy }: TenantPolicy): string[] {
  const drop = `drop policy if exists ${quoteIdentifier(policy.name)} on ${table.sql};`
  if (facts.hasFreehold) return [drop, ...protectSql(facts, table)]
  const others = policiesOf(facts, table).filter((one) => one.policy !== policy)
  const isCovered = others.some((one) => one.policy.isPermissive && one.policy.appliesToApp && isBound(one))
  return isCovered ? [drop] : [drop, ...policySql(facts, table)]
}

/**
 * Writes the comparison of a policy anew, in a form that is safe and uses the index. Only where the comparison is all
 * that the policy says: what else it asks for is not ours to drop.
 */
export function rewriteSql(facts: Facts, one: TenantPolicy): string[] {
  const { table, policy, expressions, column } = one
  if (facts.hasFreehold) return protectSql(facts, table)
  if (!expressions.every((expression) => isComparison(expression, column))) return []
  const condition = tenantCondition(facts, table, expressions)
  const using = policy.using === null ? '' : ` using (${condition})`
  const check = policy.check === null ? '' : ` with check (${condition})`
  return [`alter policy ${quoteIdentifier(policy.name)} on ${table.sql}${using}${check};`]
}
