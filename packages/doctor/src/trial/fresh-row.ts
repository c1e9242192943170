import type { Facts, Table } from '../facts/model.ts'
import { ofTable } from '../facts/of-table.ts'
import { keysOf } from './order.ts'
import { insertSql, type Row } from './seed-row.ts'

/** The same row again, with new keys where they can be made up. */
export function anew(facts: Facts, table: Table, row: Row): [string, (string | null)[]] {
  const values = fresh(facts, table, row)
  return [insertSql(table, values), Object.values(values)]
}

/** A row with new keys where they can be made up; what it refers to stays. */
export function fresh(facts: Facts, table: Table, row: Row): Record<string, string | null> {
  const settled = new Set([table.tenantColumn, ...keysOf(facts, table).flatMap(({ columns }) => columns)])
  const values: Record<string, string | null> = {}
  for (const column of table.columns) {
    if (column.isGenerated) continue
    const isKey = ofTable(facts.indexes, table).some(
      (index) => index.isUnique && index.columns.includes(column.name),
    )
    const old = row[column.name] ?? null
    values[column.name] =
      isKey && !settled.has(column.name) && old !== null ? renewed(column.baseType, old) : old
  }
  return values
}

/** Another value of the same look. */
function renewed(type: string, value: string): string {
  if (type === 'uuid') return crypto.randomUUID()
  if (/^(smallint|integer|bigint|numeric)$/.test(type)) return String(BigInt(value.split('.')[0] ?? 0) - 1n)
  return value.replace(/[0-9a-f]{4}/, () => crypto.randomUUID().slice(0, 4))
}

/** A column that no key holds, if there is one. */
export function plainColumn(facts: Facts, table: Table): string {
  const inKeys = new Set(
    ofTable(facts.indexes, table)
      .filter(({ isUnique }) => isUnique)
      .flatMap(({ columns }) => columns),
  )
  const free = table.columns.filter((column) => !column.isGenerated && !column.isIdentityAlways)
  return (free.find(({ name }) => !inKeys.has(name)) ?? free[0])?.name ?? ''
}
