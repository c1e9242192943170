import type { Facts, ForeignKey, Table } from '../facts/model.ts'
import { ofTable } from '../facts/of-table.ts'

/** Tables in an order in which rows can be made: what is referred to comes first; a circle is entered anywhere. */
export function seedingOrder(facts: Facts): Table[] {
  const whole = facts.tables.filter(({ root }) => root === null)
  const byOid = new Map(whole.map((table) => [table.oid, table]))
  const done = new Set<number>()
  const ordered: Table[] = []
  const visit = (table: Table) => {
    if (done.has(table.oid)) return
    done.add(table.oid)
    for (const key of keysOf(facts, table)) {
      const target = byOid.get(key.target)
      if (target) visit(target)
    }
    ordered.push(table)
  }
  for (const table of whole) visit(table)
  return ordered
}

export function keysOf(facts: Facts, table: Table): readonly ForeignKey[] {
  return ofTable(facts.foreignKeys, table)
}
