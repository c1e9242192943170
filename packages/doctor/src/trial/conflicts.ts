import { quoteIdentifier, quoteLiteral } from '@freehold/postgres'
import type { Facts, Table } from '../facts/model.ts'
import { ofTable } from '../facts/of-table.ts'
import { fresh, plainColumn } from './fresh-row.ts'
import { insertSql, type Row } from './seed-row.ts'

/** The very row of the other, with an update where it is already there. */
export function upserts(facts: Facts, table: Table, theirs: Row): [string, (string | null)[]][] {
  const key = ofTable(facts.indexes, table).find(({ isPrimary }) => isPrimary)
  if (!key) return []
  const generated = new Set(table.columns.filter(({ isGenerated }) => isGenerated).map(({ name }) => name))
  const row = Object.fromEntries(Object.entries(theirs).filter(([name]) => !generated.has(name)))
  const plain = quoteIdentifier(plainColumn(facts, table))
  const target = key.columns.map((name) => quoteIdentifier(name ?? '')).join(', ')
  return [
    [
      `${insertSql(table, row)} on conflict (${target}) do update set ${plain} = excluded.${plain}`,
      Object.values(row),
    ],
  ]
}

/**
 * A row of its own that collides with the other's in a key which spans all tenants. Servers with CVE-2026-120154 ask
 * the condition about the hidden row before row security refuses it; a function there would see all of that row.
 */
export function conflictProbes(
  facts: Facts,
  table: Table,
  tenant: string,
  type: string,
  { mine, theirs, other }: { readonly mine: Row; readonly theirs: Row; readonly other: string },
): [string, (string | null)[]][] {
  const plain = quoteIdentifier(plainColumn(facts, table))
  return ofTable(facts.indexes, table)
    .filter(
      ({ isUnique, isPartial, columns }) => isUnique && !isPartial && !columns.includes(table.tenantColumn),
    )
    .flatMap((index) => {
      const columns = index.columns.filter((name) => name !== null)
      if (columns.length < index.columns.length) return []
      const colliding = Object.fromEntries(columns.map((name) => [name, theirs[name] ?? null]))
      const row = { ...fresh(facts, table, mine), ...colliding }
      const target = columns.map((name) => quoteIdentifier(name)).join(', ')
      const condition = `1 / (case when mine.${tenant} = ${quoteLiteral(other)}::${type} then 0 else 1 end) = 2`
      const insert = insertSql(table, row).replace(
        `insert into ${table.sql} `,
        `insert into ${table.sql} as mine `,
      )
      return [
        [
          `${insert} on conflict (${target}) do update set ${plain} = excluded.${plain} where ${condition}`,
          Object.values(row),
        ] satisfies [string, (string | null)[]],
      ]
    })
}
