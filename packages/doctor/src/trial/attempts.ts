import { quoteIdentifier, quoteLiteral } from '@freehold/postgres'
import type { Facts, Table } from '../facts/model.ts'
import { conflictProbes, upserts } from './conflicts.ts'
import { anew, fresh, plainColumn } from './fresh-row.ts'
import { keysOf } from './order.ts'
import { referring, type Seeded } from './seed.ts'
import { insertSql } from './seed-row.ts'
import type { SyntheticTenant } from './synthetic-tenants.ts'

const DIVISION_BY_ZERO = ['22012']
/** Keys are asked after row security, so what they refuse it has let through. */
const REFUSED_BY_A_KEY = ['23503', '23505']
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
  /** SQLSTATEs by which it shows that it has got at what it should not. */
  readonly toldBy?: readonly string[]
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
    {
      ...one(
        'trial-delete',
        "another's row was deleted.",
        `delete from ${table.sql} where ${tenant} = $1::${type}`,
        [other.id],
      ),
      toldBy: REFUSED_BY_A_KEY,
    },
    one('trial-insert', 'a row was inserted as if it were of another.', ...anew(facts, table, theirs)),
    {
      ...one(
        'trial-reassign',
        'a row of its own was given to another.',
        `update ${table.sql} set ${tenant} = $1::${type} where ${tenant} = $2::${type}`,
        [other.id, me.id],
      ),
      toldBy: REFUSED_BY_A_KEY,
    },
    ...upserts(facts, table, theirs).map((sql) =>
      one('trial-upsert', "another's row was overwritten by INSERT ... ON CONFLICT.", ...sql),
    ),
    ...conflictProbes(facts, table, tenant, type, { mine, theirs, other: other.id }).map((probe) => ({
      ...one(
        'trial-upsert',
        "the condition of INSERT ... ON CONFLICT DO UPDATE ... WHERE was asked about another's row.",
        ...probe,
      ),
      toldBy: DIVISION_BY_ZERO,
    })),
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
