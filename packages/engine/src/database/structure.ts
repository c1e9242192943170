import type { ClientBase } from 'pg'

/** A part of a table that slows loading down, and the statements that take it off and put it back. */
interface Part {
  readonly remove: string
  readonly restore: string
}

/** Tenant tables with their partitions. */
const RELATIONS = `
  select tree.relid as oid from freehold.managed_table
  cross join lateral (
    select relid from pg_partition_tree(managed_table.relation)
    union select managed_table.relation
  ) tree where managed_table.kind = 'tenant'`

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
 * Makes the tenant tables of a database that nobody uses yet bare, so that rows load at the speed of the disk: without
 * keys, indexes, foreign keys and triggers, and without forced row security (the application's role stays
 * subject to it). Runs in one transaction.
 *
 * @param owner connected as the owner of the tables.
 * @returns the statements that put everything back, in order. They exist nowhere else: when they are lost, the
 * database is to be created anew.
 */
export async function bareTables(owner: ClientBase): Promise<readonly string[]> {
  const parts: Part[] = []
  for (const query of [CONSTRAINTS, INDEXES, TRIGGERS, FORCED_ROW_SECURITY]) {
    parts.push(...(await owner.query<{ remove: string; restore: string }>(query)).rows)
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
export async function restoreTables(owner: ClientBase, statements: readonly string[]): Promise<void> {
  await owner.query("set maintenance_work_mem = '256MB'")
  for (const statement of statements) await owner.query(statement)
  const tables = await owner.query<{ table: string }>(
    `select relation::text as table from freehold.managed_table where kind = 'tenant'`,
  )
  for (const { table } of tables.rows) await owner.query(`analyze ${table}`)
}
