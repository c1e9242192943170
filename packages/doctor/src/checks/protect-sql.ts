import { quoteIdentifier, quoteLiteral } from '@freehold/postgres'
import type { Facts, Table } from '../facts/model.ts'
import { ofTable, tableOf } from '../facts/of-table.ts'

const PROTECT = 'function freehold.protect_table(regclass,name)'
const DEFAULT_SETTING = 'app.tenant_id'

/** What makes a table safe: Freehold's own function where there is one, row security written out elsewhere. */
export function protectSql(facts: Facts, table: Table): string[] {
  if (facts.freehold) {
    // What only looks like Freehold's is not to be called, by nobody.
    if (!facts.freehold.genuine.has(PROTECT)) return []
    const whole = (table.root === null ? undefined : tableOf(facts, table.root)) ?? table
    const column = quoteLiteral(table.tenantColumn ?? facts.tenantColumn)
    return [`select freehold.protect_table(${quoteLiteral(whole.sql)}, ${column});`]
  }
  const statements = [`alter table ${table.sql} enable row level security;`, forceSql(table)]
  const hasPolicy = ofTable(facts.policies, table).length > 0
  return hasPolicy ? statements : [...statements, ...policySql(facts, table)]
}

export const forceSql = (table: Table): string => `alter table ${table.sql} force row level security;`

/** A policy that shows the rows of the tenant whom a setting names, and nothing where none is named. */
export function policySql(facts: Facts, table: Table): string[] {
  if (table.tenantColumn === null) return []
  const condition = tenantCondition(facts, table, [])
  return [
    `drop policy if exists tenant_isolation on ${table.sql};`,
    `create policy tenant_isolation on ${table.sql} using (${condition}) with check (${condition});`,
  ]
}

/** The comparison of the tenant column with a setting: the one that the expressions name, if they name one. */
export function tenantCondition(facts: Facts, table: Table, expressions: readonly string[]): string {
  const column = table.columns.find(({ name }) => name === table.tenantColumn)
  const named = /current_setting\('([^']+)'/.exec(expressions.join(' '))?.[1]
  const setting = quoteLiteral(named ?? facts.tenantSettings[0] ?? DEFAULT_SETTING)
  // A scalar subquery is evaluated once a query and leaves the index usable; nullif, because a setting that was local
  // to a transaction is an empty string after it.
  const tenant = `(select nullif(current_setting(${setting}, true), '')::${column?.type ?? 'text'})`
  return `${quoteIdentifier(table.tenantColumn ?? facts.tenantColumn)} = ${tenant}`
}
