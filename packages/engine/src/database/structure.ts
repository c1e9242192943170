import { quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { z } from 'zod'

/** A part of a table that slows loading down, and the statements that take it off and put it back. */
const partSchema = z.object({
  kind: z.enum(['key', 'index', 'foreign_key', 'setting']),
  /** The tables, quoted, that must be loaded: the one it is on, and the one that a foreign key points to. */
  tables: z.array(z.object({ schema: z.string(), name: z.string() }).transform(quoteTable)),
  remove: z.string(),
  restore: z.string(),
})
export type BarePart = z.output<typeof partSchema>

/** The tables of a schema of a tenant's own, or else those that are in nobody's: of tenants, and for reference. */
const MANAGED_TABLES = `
  select managed_table.relation from freehold.managed_table
  join pg_class on pg_class.oid = managed_table.relation
  join pg_namespace on pg_namespace.oid = pg_class.relnamespace
  where case when $1 = 'public'
    then not exists (select from freehold.tenant_schema own where own.schema_name = nspname)
    else nspname = $1 end`

/** Tables with their partitions. */
const RELATIONS = `
  select tree.relid as oid from (${MANAGED_TABLES}) tenant_table
  cross join lateral (
    select relid from pg_partition_tree(tenant_table.relation)
    union select tenant_table.relation
  ) tree`

/** The table that a relation is, or is a partition of; null for others. */
const tableOf = (relation: string) => `
  (select jsonb_build_object('schema', nspname, 'name', relname)
   from pg_class join pg_namespace on pg_namespace.oid = relnamespace
   where pg_class.oid = coalesce(pg_partition_root(${relation}), ${relation})
     and pg_class.oid in (${MANAGED_TABLES}))`

/** Keys and foreign keys, in the order in which they can be put back; those of partitions follow their parent's. */
const CONSTRAINTS = `
  select
    case contype when 'f' then 'foreign_key' else 'key' end as kind,
    jsonb_path_query_array(jsonb_build_array(${tableOf('conrelid')}, ${tableOf('nullif(confrelid, 0)')}),
      '$[*] ? (@ != null)') as tables,
    format('alter table %s drop constraint %I', conrelid::regclass, conname) as remove,
    format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    || coalesce((select format('; comment on constraint %I on %s is %L', conname, conrelid::regclass, comment)
         from obj_description(oid, 'pg_constraint') comment where comment is not null), '')
    -- The definition of a key leaves out how its index is stored.
    || coalesce((select format('; alter index %s set (%s)', index.oid::regclass, array_to_string(index.reloptions, ', '))
         from pg_class index
         where index.oid = conindid and contype in ('p', 'u', 'x') and index.reloptions is not null), '') as restore
  from pg_constraint
  where conrelid in (${RELATIONS}) and contype in ('p', 'u', 'x', 'f') and conparentid = 0
  order by contype = 'f', conrelid::regclass::text, conname`

const INDEXES = `
  select
    'index' as kind, jsonb_build_array(${tableOf('indrelid')}) as tables,
    format('drop index %s', indexrelid::regclass) as remove,
    -- A partitioned table's index is printed as ON ONLY; put back, it is to reach the partitions.
    regexp_replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
    || coalesce((select format('; comment on index %s is %L', indexrelid::regclass, comment)
         from obj_description(indexrelid, 'pg_class') comment where comment is not null), '') as restore
  from pg_index
  where indrelid in (${RELATIONS})
    and not exists (select from pg_constraint where conindid = indexrelid)
    and not exists (select from pg_inherits where inhrelid = indexrelid)
  order by indrelid::regclass::text, indexrelid::regclass::text`

/** Triggers have had their effect where the rows come from. */
const TRIGGERS = `
  select
    'setting' as kind, '[]'::jsonb as tables,
    format('alter table %s disable trigger %I', tgrelid::regclass, tgname) as remove,
    format('alter table %s enable %strigger %I', tgrelid::regclass,
      case tgenabled when 'A' then 'always ' else '' end, tgname) as restore
  from pg_trigger
  where tgrelid in (${RELATIONS}) and not tgisinternal and tgparentid = 0 and tgenabled in ('O', 'A')`

/** The owner is subject to row security only where it is forced, and COPY FROM does not work under it. */
const FORCED_ROW_SECURITY = `
  select
    'setting' as kind, '[]'::jsonb as tables,
    format('alter table %s no force row level security', oid::regclass) as remove,
    format('alter table %s force row level security', oid::regclass) as restore
  from pg_class where oid in (${RELATIONS}) and relforcerowsecurity`

/**
 * Makes the tables of a schema that nobody uses yet bare, so that rows load at the speed of the disk: without
 * keys, indexes, foreign keys and triggers, and without forced row security (the application's role stays
 * subject to it). Runs in one transaction.
 *
 * @param owner connected as the owner of the tables.
 * @param schema a tenant's own; `public` for all that are in nobody's, as a silo's are.
 * @returns what was taken off, in an order in which it can be put back: the keys, the indexes, the foreign keys, and
 * last the settings, because the owner cannot check a foreign key at once under forced row security. The statements
 * exist nowhere else: when they are lost, the schema is to be created anew.
 */
export async function bareTables(owner: ClientBase, schema: string): Promise<readonly BarePart[]> {
  const parts: BarePart[] = []
  for (const query of [CONSTRAINTS, INDEXES, TRIGGERS, FORCED_ROW_SECURITY]) {
    parts.push(...z.array(partSchema).parse((await owner.query(query, [schema])).rows))
  }
  const foreignKeysFirst = [...parts].reverse()
  await owner.query(`begin; ${foreignKeysFirst.map((part) => part.remove).join('; ')}; commit`)
  return RESTORE_ORDER.flatMap((kind) => parts.filter((part) => part.kind === kind))
}

const RESTORE_ORDER: readonly BarePart['kind'][] = ['key', 'index', 'foreign_key', 'setting']

/**
 * Gathers statistics that are coarse, but enough to choose an index by, in a tenth of the usual time. Columns are named
 * because the server then still holds the table for one that nobody has analyzed, and autovacuum comes to do it in full.
 *
 * @param table quoted.
 */
export async function analyzeCoarsely(owner: ClientBase, table: string): Promise<void> {
  const named = await owner.query<{ columns: string }>(
    `select string_agg(quote_ident(attname), ', ') as columns from pg_attribute
     where attrelid = $1::regclass and attnum > 0 and not attisdropped`,
    [table],
  )
  await owner.query(
    `set default_statistics_target = 10; analyze ${table} (${named.rows[0]?.columns}); reset default_statistics_target`,
  )
}

/**
 * Gathers full statistics of the partitioned tables among a schema's tables: autovacuum leaves those out. Not of
 * their partitions, where the server can tell them apart.
 */
export async function analyzePartitioned(owner: ClientBase, schema: string): Promise<void> {
  const tables = await owner.query<{ analyze: string }>(
    `select case when current_setting('server_version_num')::int >= 180000 then 'analyze only ' else 'analyze ' end
       || relation::text as analyze from (${MANAGED_TABLES}) tenant_table
     join pg_class on pg_class.oid = relation where relkind = 'p'`,
    [schema],
  )
  for (const { analyze } of tables.rows) await owner.query(analyze)
}
