import { quoteIdentifier } from '@freehold/postgres'
import { type Check, wholeTenantTables } from '../check.ts'
import type { Facts, Index, Table } from '../facts/model.ts'
import { ofTable, tableOf } from '../facts/of-table.ts'

export const uniqueWithoutTenant: Check = {
  id: 'unique-without-tenant',
  severity: 'blocking',
  why: 'Uniqueness is checked past row security: a tenant learns by a conflict what another has, and takes a value away from it.',
  fix: 'Put the tenant column into the key, first.',
  find: (facts) =>
    wholeTenantTables(facts).flatMap((table) =>
      ofTable(facts.indexes, table)
        .filter((index) => index.isUnique)
        .filter(({ columns }) => table.tenantColumn !== null && !columns.includes(table.tenantColumn))
        .map((index) => ({
          object: `${table.label}.${index.name}`,
          found: `It is unique over (${index.columns.map((name) => name ?? 'expression').join(', ')}) for all tenants together.`,
          severity: isSurrogate(table, index) ? 'advisory' : 'blocking',
          fix: isSurrogate(table, index)
            ? 'Its values are generated, so a conflict tells little; on a server with CVE-2026-120154 it shows the whole row all the same. Put the tenant column first all the same, and a move between databases cannot collide.'
            : uniqueWithoutTenant.fix,
          sql: withTenantSql(facts, table, index),
        })),
    ),
}

/** Generated values tell nothing about another tenant and are not taken from anybody. */
function isSurrogate(table: Table, index: Index): boolean {
  const columns = index.columns.map((name) => table.columns.find((column) => column.name === name))
  return columns.every(
    (column) =>
      column !== undefined &&
      (column.type === 'uuid' || column.isIdentity || /^nextval\(|_random_|uuid/.test(column.default ?? '')),
  )
}

function withTenantSql(facts: Facts, table: Table, index: Index): string[] {
  const names = index.columns.filter((name) => name !== null)
  const isReferredFrom = facts.foreignKeys.some(
    (key) =>
      key.target === table.oid &&
      key.targetColumns.length === names.length &&
      names.every((name) => key.targetColumns.includes(name)) &&
      // Those of tenant tables are made composite before.
      !tableOf(facts, key.table)?.tenantColumn,
  )
  if (isReferredFrom || table.isPartitioned || table.tenantColumn === null) return []
  if (index.constraint === null) return indexSql(table, index)
  const key = [table.tenantColumn, ...names].map((name) => quoteIdentifier(name)).join(', ')
  const name = quoteIdentifier(index.constraint)
  return [
    `alter table ${table.sql} drop constraint ${name};`,
    `alter table ${table.sql} add constraint ${name} ${index.isPrimary ? 'primary key' : 'unique'} (${key});`,
  ]
}

/** A unique index without a constraint is made anew from its own definition, so that expressions and predicates stay. */
function indexSql(table: Table, index: Index): string[] {
  const column = quoteIdentifier(table.tenantColumn ?? '')
  const definition = index.definition.replace(/( USING \w+ \()/, `$1${column}, `)
  return [`drop index ${index.sql};`, `${definition};`]
}
