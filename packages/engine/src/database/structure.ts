import type { ClientBase } from 'pg'

/** A part of a table that slows loading down, and the statements that take it off and put it back. */
interface Part {
  readonly remove: string
  readonly restore: string
}

/** The tenant tables of a schema of a tenant's own, or else those that are in nobody's. */
const TENANT_TABLES = `
  select managed_table.relation from freehold.managed_table
  join pg_class on pg_class.oid = managed_table.relation
  join pg_namespace on pg_namespace.oid = pg_class.relnamespace
  where managed_table.kind = 'tenant' and case when $1 = 'public'
    then not exists (select from freehold.tenant_schema own where own.schema_name = nspname)
    else nspname = $1 end`

/** Tenant tables with their partitions. */
const RELATIONS = `
  select tree.relid as oid from (${TENANT_TABLES}) tenant_table
  cross join lateral (
    select relid from pg_partition_tree(tenant_table.relation)
    union select tenant_table.relation
  ) tree`

/** Keys and foreign keys, in the order in which they can be put back; those of partitions follow their parent's. */
const CONSTRAINTS = `
  select
    format('alter table %s drop constraint %I', conrelid::regclass, conname) as remove,
    format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    || coalesce(format('; comment on constraint %I on %s is %L', conname, conrelid::regclass,
         obj_description(oid, 'pg_constraint')), '')
    -- The definition of a key leaves out how its index is stored.
    || coalesce((select format('; alter index %s set (%s)', index.oid::regclass, array_to_string(index.reloptions, ', '))
         from pg_class index
         where index.oid = conindid and contype in ('p', 'u', 'x') and index.reloptions is not null), '') as restore
  from pg_constraint
  where conrelid in (${RELATIONS}) and contype in ('p', 'u', 'x', 'f') and conparentid = 0
  order by contype = 'f', conrelid::regclass::text, conname`

const INDEXES = `
  select
    format('drop index %s', indexrelid::regclass) as remove,
    -- A partitioned table's index is printed as ON ONLY; put back, it is to reach the partitions.
    regexp_replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
    || coalesce(format('; comment on index %s is %L', indexrelid::regclass,
         obj_description(indexrelid, 'pg_class')), '') as restore
  from pg_index
  where indrelid in (${RELATIONS})
    and not exists (select from pg_constraint where conindid = indexrelid)
    and not exists (select from pg_inherits where inhrelid = indexrelid)
  order by indrelid::regclass::text, indexrelid::regclass::text`

/** Triggers have had their effect where the rows come from. */
const TRIGGERS = `
  select
    format('alter table %s disable trigger %I', tgrelid::regclass, tgname) as remove,
    format('alter table %s enable %strigger %I', tgrelid::regclass,
      case tgenabled when 'A' then 'always ' else '' end, tgname) as restore
  from pg_trigger
  where tgrelid in (${RELATIONS}) and not tgisinternal and tgparentid = 0 and tgenabled in ('O', 'A')`

/** The owner is subject to row security only where it is forced, and COPY FROM does not work under it. */
const FORCED_ROW_SECURITY = `
  select
    format('alter table %s no force row level security', oid::regclass) as remove,
    format('alter table %s force row level security', oid::regclass) as restore
  from pg_class where oid in (${RELATIONS}) and relforcerowsecurity`

/**
 * Makes the tenant tables of a schema that nobody uses yet bare, so that rows load at the speed of the disk: without
 * keys, indexes, foreign keys and triggers, and without forced row security (the application's role stays
 * subject to it). Runs in one transaction.
 *
 * @param owner connected as the owner of the tables.
 * @param schema a tenant's own; `public` for all that are in nobody's, as a silo's are.
 * @returns the statements that put everything back, in order. They exist nowhere else: when they are lost, the
 * schema is to be created anew.
 */
export async function bareTables(owner: ClientBase, schema: string): Promise<readonly string[]> {
  const parts: Part[] = []
  for (const query of [CONSTRAINTS, INDEXES, TRIGGERS, FORCED_ROW_SECURITY]) {
    parts.push(...(await owner.query<{ remove: string; restore: string }>(query, [schema])).rows)
  }
  const foreignKeysFirst = [...parts].reverse()
  await owner.query(`begin; ${foreignKeysFirst.map((part) => part.remove).join('; ')}; commit`)
  return restoreOrder(parts)
}

/** Foreign keys come last but for forced row security, under which the owner could not check them at once. */
function restoreOrder(parts: readonly Part[]): readonly string[] {
  const isForeignKey = (part: Part) => part.restore.includes(' FOREIGN KEY ')
  const isForced = (part: Part) => part.restore.endsWith(' force row level security')
  const rest = parts.filter((part) => !isForeignKey(part) && !isForced(part))
  return [...rest, ...parts.filter(isForeignKey), ...parts.filter(isForced)].map((part) => part.restore)
}

/** Puts back what {@link bareTables} has taken off, and gathers statistics. */
export async function restoreTables(
  owner: ClientBase,
  schema: string,
  statements: readonly string[],
): Promise<void> {
  await owner.query("set maintenance_work_mem = '256MB'")
  for (const statement of statements) await owner.query(statement)
  const tables = await owner.query<{ table: string }>(
    `select relation::text as table from (${TENANT_TABLES}) tenant_table`,
    [schema],
  )
  for (const { table } of tables.rows) await owner.query(`analyze ${table}`)
}
