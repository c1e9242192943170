import { FreeholdError } from '@freehold/contract'
import { quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { asTenant, type TenantScope } from './entered.ts'
import type { TableShape } from './tables.ts'

/** For each foreign key: its name and table, and a query for a row that refers to none, by the rules of MATCH SIMPLE. */
const FOREIGN_KEYS = `
  select conname as name, conrelid::regclass::text as table,
    format('select exists (select from %s child where %s and not exists (select from %s parent where %s)) as broken',
      conrelid::regclass,
      (select string_agg(format('child.%I is not null', attname), ' and ') from pg_attribute
       where attrelid = conrelid and attnum = any (conkey)),
      confrelid::regclass,
      (select string_agg(format('parent.%I operator(%s.%s) child.%I', referenced.attname, nspname, oprname,
         referencing.attname), ' and ')
       from unnest(conkey, confkey, conpfeqop) pair (child, parent, equals)
       join pg_attribute referencing on referencing.attrelid = conrelid and referencing.attnum = pair.child
       join pg_attribute referenced on referenced.attrelid = confrelid and referenced.attnum = pair.parent
       join pg_operator on pg_operator.oid = pair.equals
       join pg_namespace on pg_namespace.oid = oprnamespace)) as query
  from pg_constraint
  where contype = 'f' and conparentid = 0 and conrelid = any ($1::text[]::regclass[]::oid[])
  order by 2, 1`

/**
 * Checks that every foreign key of the tenant's rows holds. They were written without it: what they refer to came with them,
 * unless it is in a reference table: a pool's are others' as well, and a move does not change them.
 *
 * @throws FreeholdError `foreign_key_broken`, naming the first foreign key that does not hold.
 */
export async function requireForeignKeys(
  mover: ClientBase,
  scope: TenantScope,
  tables: readonly TableShape[],
): Promise<void> {
  const broken = await asTenant(mover, scope, async () => {
    const keys = await mover.query<{ name: string; table: string; query: string }>(FOREIGN_KEYS, [
      tables.map(({ table }) => quoteTable(table)),
    ])
    for (const key of keys.rows) {
      const found = await mover.query<{ broken: boolean }>(key.query)
      if (found.rows[0]?.broken !== false) return key
    }
    return undefined
  })
  if (broken === undefined) return
  throw new FreeholdError(
    'foreign_key_broken',
    `Rows of ${broken.table} refer by ${broken.name} to rows that the target does not have.`,
    { details: { table: broken.table, constraint: broken.name } },
  )
}
