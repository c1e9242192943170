import { quoteIdentifier, quoteLiteral } from '@freehold/postgres'
import type { Facts, Table } from '../facts/model.ts'
import { ofTable } from '../facts/of-table.ts'
import { keysOf } from './order.ts'
import { referring, type Seeded } from './seed.ts'
import { insertSql, type Row } from './seed-row.ts'
import type { SyntheticTenant } from './synthetic-tenants.ts'

const FIRST_WITH_MERGE = 150_000

/** Something that a tenant tries on what is another's. All of it touches rows of the two synthetic tenants only. */
export interface Attempt {
  readonly id: string
  readonly object: string
  /** What has happened if it succeeds. */
  readonly found: string
  /** As whom; null: without a tenant. */
  readonly as: SyntheticTenant | null
  readonly sql: string
  readonly values: readonly (string | null)[]
  /** Foreign keys are checked, so that is what is tried. */
  readonly withForeignKeys?: boolean
}

/** All that one tenant tries on another's row in a table. */
export function attemptsOn(facts: Facts, all: readonly Seeded[], seeded: Seeded): Attempt[] {
  const [a, b] = seeded.pair
  return [
    ...crossing(facts, all, seeded, a, b),
    ...crossing(facts, all, seeded, b, a),
    {
      id: 'trial-read-without-tenant',
      object: seeded.table.label,
      found: 'Rows are visible although no tenant is entered.',
      as: null,
      sql: `select from ${seeded.table.sql} limit 1`,
      values: [],
    },
  ]
}

function crossing(
  facts: Facts,
  all: readonly Seeded[],
  { table, rows }: Seeded,
  me: SyntheticTenant,
  other: SyntheticTenant,
): Attempt[] {
  const object = table.label
  const tenant = quoteIdentifier(table.tenantColumn ?? facts.tenantColumn)
  const type = table.columns.find(({ name }) => name === table.tenantColumn)?.type ?? 'text'
  const [theirs, mine] = [rows[other.name], rows[me.name]]
  const plain = quoteIdentifier(plainColumn(facts, table))
  const one = (id: string, found: string, sql: string, values: readonly (string | null)[]): Attempt => ({
    id,
    object,
    found: `As tenant ${me.name}: ${found}`,
    as: me,
    sql,
    values,
  })
  return [
    one(
      'trial-read',
      "another's row was read.",
      `select from ${table.sql} where ${tenant} = $1::${type} limit 1`,
      [other.id],
    ),
    one(
      'trial-read',
      'rows that are not its own were read.',
      `select from ${table.sql} where ${tenant} is distinct from $1::${type} limit 1`,
      [me.id],
    ),
    one(
      'trial-copy',
      "another's row was copied out.",
      `copy (select * from ${table.sql} where ${tenant} = ${quoteLiteral(other.id)}::${type}) to stdout`,
      [],
    ),
    one(
      'trial-update',
      "another's row was updated.",
      `update ${table.sql} set ${plain} = ${plain} where ${tenant} = $1::${type}`,
      [other.id],
    ),
    ...(facts.serverVersionNumber < FIRST_WITH_MERGE
      ? []
      : [
          one(
            'trial-update',
            "another's row was updated by MERGE.",
            `merge into ${table.sql} mine using (select $1::${type} as tenant) theirs on mine.${tenant} = theirs.tenant
             when matched then update set ${plain} = mine.${plain}`,
            [other.id],
          ),
        ]),
    one(
      'trial-delete',
      "another's row was deleted.",
      `delete from ${table.sql} where ${tenant} = $1::${type}`,
      [other.id],
    ),
    one('trial-insert', 'a row was inserted as if it were of another.', ...anew(facts, table, theirs)),
    one(
      'trial-reassign',
      'a row of its own was given to another.',
      `update ${table.sql} set ${tenant} = $1::${type} where ${tenant} = $2::${type}`,
      [other.id, me.id],
    ),
    ...upserts(facts, table, theirs).map((sql) =>
      one('trial-upsert', "another's row was overwritten by INSERT ... ON CONFLICT.", ...sql),
    ),
    ...partitionsOf(facts, table).map((partition) => ({
      ...one(
        'trial-read',
        "another's row was read from the partition.",
        `select from ${partition.sql} where ${tenant} = $1::${type} limit 1`,
        [other.id],
      ),
      object: partition.label,
    })),
    ...viewsOf(facts, table).map((view) => ({
      ...one(
        'trial-view',
        `another's row of ${table.label} was read through the view.`,
        `select from ${view.sql} where ${tenant} = $1::${type} limit 1`,
        [other.id],
      ),
      object: view.label,
    })),
    ...keysOf(facts, table).flatMap((key) => {
      const target = all.find((seeded) => seeded.table.oid === key.target)
      // A trigger of the product might do what no rollback undoes; the key itself is judged by the catalogs.
      if (!target || key.target === table.oid || table.hasInsertTriggers) return []
      const given = { [table.tenantColumn ?? '']: me.id }
      const row = { ...fresh(facts, table, mine), ...referring(key, target.rows[other.name], given) }
      const reference = one(
        'trial-reference',
        `a row was made that refers to another's row of ${target.table.label}.`,
        insertSql(table, row),
        Object.values(row),
      )
      return [{ ...reference, object: `${object}.${key.name}`, withForeignKeys: true }]
    }),
  ]
}

/** The same row again, with new keys where they can be made up. */
function anew(facts: Facts, table: Table, row: Row): [string, (string | null)[]] {
  const values = fresh(facts, table, row)
  return [insertSql(table, values), Object.values(values)]
}

function fresh(facts: Facts, table: Table, row: Row): Record<string, string | null> {
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

/** The very row of the other, with an update where it is already there. */
function upserts(facts: Facts, table: Table, theirs: Row): [string, (string | null)[]][] {
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

/** A column that no key holds, if there is one. */
function plainColumn(facts: Facts, table: Table): string {
  const inKeys = new Set(
    ofTable(facts.indexes, table)
      .filter(({ isUnique }) => isUnique)
      .flatMap(({ columns }) => columns),
  )
  const free = table.columns.filter((column) => !column.isGenerated && !column.isIdentityAlways)
  return (free.find(({ name }) => !inKeys.has(name)) ?? free[0])?.name ?? ''
}

const partitionsOf = (facts: Facts, table: Table) =>
  facts.tables.filter(({ root, rights }) => root === table.oid && rights.select)

const viewsOf = (facts: Facts, table: Table) =>
  facts.views.filter(
    (view) =>
      !view.isMaterialized &&
      view.readableByApp &&
      view.reads.includes(table.oid) &&
      view.columns.includes(table.tenantColumn ?? ''),
  )
