import { inTransaction, quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { isEqual } from '../database/checksum.ts'
import { asTenant, type TenantScope } from '../database/entered.ts'
import { useExactText } from '../database/exact-text.ts'
import { compareReferences } from '../database/reference-tables.ts'
import type { TableFacts } from '../database/table-facts.ts'
import { matchTables, referenceTables, type TablePair, tenantTables } from '../database/tables.ts'
import type { Finding } from '../preflight/finding.ts'

interface ReferencesCheck {
  /** Both connected as freehold_mover, in no transaction. */
  readonly source: ClientBase
  readonly target: ClientBase
  /** The tenant where it lives now. */
  readonly scope: TenantScope
  /** All tables at either end. */
  readonly facts: { readonly source: readonly TableFacts[]; readonly target: readonly TableFacts[] }
}

/**
 * Compares the reference tables of a pool with those that the tenant has now. The pool's are others' as well, and are not changed
 * for it: what its rows refer to has to be there.
 */
export async function checkPoolReferences(check: ReferencesCheck): Promise<Finding[]> {
  const { source, target, scope, facts } = check
  const { pairs, different } = matchTables(
    referenceTables(facts.source, scope.schema),
    referenceTables(facts.target, 'public'),
  )
  const compared = await withExactText(source, () =>
    withExactText(target, () => compareReferences(source, target, pairs)),
  )
  const unequal = compared.filter((comparison) => !isEqual(comparison)).map(({ tables }) => tables)
  const tenants = matchTables(
    tenantTables(facts.source, scope.schema),
    tenantTables(facts.target, 'public'),
  ).pairs
  const missing = await missingRows(check, tenants, unequal)
  return [
    ...missing,
    ...different.map((table) => differs(table, 'is not the same table')),
    ...unequal.map(({ source: { key } }) => differs(key, 'has other rows')),
  ]
}

const differs = (table: string, what: string): Finding => ({
  code: 'reference_table_differs',
  object: table,
  found: `${table} ${what} in the target pool than at the source.`,
})

interface ForeignKey {
  readonly name: string
  readonly child: string
  readonly columns: readonly { readonly child: string; readonly parent: string; readonly type: string }[]
}

/** Those by which tenant tables refer to a reference table, at the target: there they have to hold. */
const FOREIGN_KEYS = `
  select conname as name, child.name as child,
    (select jsonb_agg(jsonb_build_object('child', referencing.attname, 'parent', referenced.attname,
        'type', format_type(referenced.atttypid, referenced.atttypmod)) order by position)
     from unnest(conkey, confkey) with ordinality pair (child, parent, position)
     join pg_attribute referencing on referencing.attrelid = conrelid and referencing.attnum = pair.child
     join pg_attribute referenced on referenced.attrelid = confrelid and referenced.attnum = pair.parent) as columns
  from unnest($1::text[]) child (name)
  join pg_constraint on conrelid = child.name::regclass and contype = 'f' and conparentid = 0
  where confrelid = $2::regclass
  order by 2, 1`

async function missingRows(
  { source, target, scope }: ReferencesCheck,
  tenants: readonly TablePair[],
  references: readonly TablePair[],
): Promise<Finding[]> {
  const children = new Map(tenants.map((pair) => [quoteTable(pair.target.table), pair.source]))
  const findings: Finding[] = []
  for (const { target: parent } of references) {
    const table = quoteTable(parent.table)
    const keys = await target.query<ForeignKey>(FOREIGN_KEYS, [[...children.keys()], table])
    for (const key of keys.rows) {
      const child = children.get(key.child)
      if (child === undefined) continue
      const used = await usedKeys(source, scope, quoteTable(child.table), key)
      const missing = await countMissing(target, table, key, used)
      if (missing === 0) continue
      findings.push({
        code: 'reference_row_missing',
        object: parent.key,
        found: `Rows of ${child.key} refer by ${key.name} to rows of ${parent.key} of which the target pool lacks ${missing}.`,
        details: { table: child.key, constraint: key.name },
      })
    }
  }
  return findings
}

/** What the tenant's rows refer to, column by column; by the rules of MATCH SIMPLE. */
async function usedKeys(
  source: ClientBase,
  scope: TenantScope,
  child: string,
  { columns }: ForeignKey,
): Promise<string[][]> {
  const names = columns.map((column) => quoteIdentifier(column.child))
  return asTenant(source, scope, async () => {
    await useExactText(source)
    const used = await source.query<{ keys: string[][] | null }>(
      `select array_agg(array[${names.map((name) => `${name}::text`).join(', ')}]) as keys
       from (select distinct ${names.join(', ')} from ${child}
         where ${names.map((name) => `${name} is not null`).join(' and ')}) used`,
    )
    const keys = used.rows[0]?.keys ?? []
    return columns.map((_, position) => keys.flatMap((key) => key[position] ?? []))
  })
}

async function countMissing(
  target: ClientBase,
  parent: string,
  { columns }: ForeignKey,
  used: readonly string[][],
): Promise<number> {
  const matches = columns.map(
    ({ parent, type }, position) => `parent.${quoteIdentifier(parent)} = used.k${position}::${type}`,
  )
  const result = await withExactText(target, () =>
    target.query<{ missing: string }>(
      `select count(*) as missing
       from unnest(${columns.map((_, position) => `$${position + 1}::text[]`).join(', ')})
         used (${columns.map((_, position) => `k${position}`).join(', ')})
       where not exists (select from ${parent} parent where ${matches.join(' and ')})`,
      [...used],
    ),
  )
  return Number(result.rows[0]?.missing ?? 0)
}

async function withExactText<T>(client: ClientBase, work: () => Promise<T>): Promise<T> {
  return inTransaction(client, async () => {
    await useExactText(client)
    return work()
  })
}
