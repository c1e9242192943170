import { quoteIdentifier } from '@freehold/postgres'
import type { Check } from '../check.ts'
import type { Facts, ForeignKey, Table } from '../facts/model.ts'
import { ofTable, tableOf } from '../facts/of-table.ts'

const FIRST_TO_SET_SOME_COLUMNS = 150_000

export const foreignKeyCrosses: Check = {
  id: 'foreign-key-crosses',
  severity: 'blocking',
  why: 'Foreign keys are checked past row security: a tenant can refer to the row of another, learns that it exists, and by a cascade its own rows change or go with it.',
  fix: 'Make the key composite, with the tenant column on both sides.',
  find: (facts) =>
    facts.foreignKeys.flatMap((key) => {
      const [table, target] = [tableOf(facts, key.table), tableOf(facts, key.target)]
      if (!table?.tenantColumn || !target?.tenantColumn) return []
      if (holdsTenant(key, table.tenantColumn, target.tenantColumn)) return []
      return [
        {
          object: `${table.label}.${key.name}`,
          found: `It leads from ${table.label} (${key.columns.join(', ')}) to ${target.label} (${key.targetColumns.join(', ')}) without the tenant column.`,
          sql: compositeSql(facts, key, table, target),
        },
      ]
    }),
}

function holdsTenant(key: ForeignKey, column: string, targetColumn: string): boolean {
  const at = key.columns.indexOf(column)
  return at >= 0 && key.targetColumns[at] === targetColumn
}

function compositeSql(facts: Facts, key: ForeignKey, table: Table, target: Table): string[] {
  const { tenantColumn } = table
  const targetTenant = target.tenantColumn
  if (tenantColumn === null || targetTenant === null) return []
  const referenced = [targetTenant, ...key.targetColumns.filter((name) => name !== targetTenant)]
  const own = [tenantColumn, ...key.columns.filter((_name, at) => key.targetColumns[at] !== targetTenant)]
  if (own.length !== referenced.length) return []
  // Older servers cannot, and would set the tenant column as well.
  if (key.onDelete.startsWith('set ') && facts.serverVersionNumber < FIRST_TO_SET_SOME_COLUMNS) return []
  const hasUnique = ofTable(facts.indexes, target).some(
    (index) =>
      index.isUnique &&
      !index.isPartial &&
      index.columns.length === referenced.length &&
      referenced.every((name) => index.columns.includes(name)),
  )
  const list = (names: readonly string[]) => names.map((name) => quoteIdentifier(name)).join(', ')
  // SET NULL and SET DEFAULT must leave the tenant column alone.
  const setsColumns = key.onDelete.startsWith('set ') ? ` (${list(own.slice(1))})` : ''
  const later = key.isDeferrable ? ` deferrable${key.isDeferred ? ' initially deferred' : ''}` : ''
  return [
    ...(hasUnique ? [] : [`alter table ${target.sql} add unique (${list(referenced)});`]),
    `alter table ${table.sql} drop constraint ${quoteIdentifier(key.name)};`,
    `alter table ${table.sql} add constraint ${quoteIdentifier(key.name)} foreign key (${list(own)}) references ${target.sql} (${list(referenced)}) on delete ${key.onDelete}${setsColumns} on update ${key.onUpdate}${later};`,
  ]
}
