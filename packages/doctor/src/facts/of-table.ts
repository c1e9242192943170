import type { Facts, Table } from './model.ts'

interface OfTable {
  readonly table: number
}

const grouped = new WeakMap<readonly OfTable[], ReadonlyMap<number, readonly OfTable[]>>()
const byOid = new WeakMap<Facts, ReadonlyMap<number, Table>>()

/** What of a list belongs to a table. A database may have a schema a tenant, and so tables by the thousand. */
export function ofTable<T extends OfTable>(list: readonly T[], table: Pick<Table, 'oid'>): readonly T[] {
  let groups = grouped.get(list)
  if (!groups) {
    groups = Map.groupBy(list, (one) => one.table)
    grouped.set(list, groups)
  }
  return (groups.get(table.oid) ?? []) as readonly T[]
}

/** The table with an oid, if it is one of those that are looked at. */
export function tableOf(facts: Facts, oid: number): Table | undefined {
  let tables = byOid.get(facts)
  if (!tables) {
    tables = new Map(facts.tables.map((table) => [table.oid, table]))
    byOid.set(facts, tables)
  }
  return tables.get(oid)
}
