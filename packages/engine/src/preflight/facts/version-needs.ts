import { inTransaction, quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { z } from 'zod'
import { asTenant, type TenantScope, useSchema } from '../../database/entered.ts'
import { tableKey } from '../../database/table-key.ts'
import type { TableShape } from '../../database/tables.ts'

const routineUseSchema = z.object({
  schema: z.string(),
  /** A table, view, type or function. */
  name: z.string(),
  /** What of it needs the routine: a default, a constraint, an index. */
  part: z.string(),
  /** A function of PostgreSQL's own, as `pg_catalog` names it; null: syntax that no function stands for. */
  routine: z.string().nullable(),
  /** What is told of it. */
  called: z.string(),
  /** The first major version that has the syntax. */
  since: z.int().nullable(),
})
/** Something of the product's that cannot be made where a function of PostgreSQL's own, or a syntax, is missing. */
export type RoutineUse = z.infer<typeof routineUseSchema>

const SIGNATURE = "format('pg_catalog.%I(%s)', proname, oidvectortypes(proargtypes))"

/**
 * Expressions are kept as trees that name their functions by object id; no dependency is recorded on what PostgreSQL brings itself.
 * Bodies of functions that are text are not looked into: nothing is known of them until they run.
 */
const ROUTINES_SQL = `
  with namespaces as (
    select oid, nspname as schema from pg_namespace
    where nspname not in ('pg_catalog', 'information_schema', 'freehold', 'freehold_migrations')
      and nspname !~ '^pg_(toast|temp)'
      and case when $1 = 'public'
        then not exists (select from freehold.tenant_schema own where own.schema_name = nspname)
        else nspname = $1
      end
  ),
  relations as (
    select class.oid, schema, relname as name from pg_class class join namespaces on namespaces.oid = relnamespace
    where relkind in ('r', 'p', 'v', 'm')
  ),
  types as (select pg_type.oid, schema, typname as name, typdefaultbin from pg_type join namespaces on namespaces.oid = typnamespace),
  expressions as (
    select schema, name, format(case attgenerated when '' then 'the default of %s' else 'generated column %s' end, attname) as part,
      adbin::text as tree
    from relations join pg_attrdef on adrelid = relations.oid join pg_attribute on attrelid = adrelid and attnum = adnum
    union all
    select schema, name, format('constraint %s', conname), conbin::text from relations join pg_constraint on conrelid = relations.oid
    union all
    select schema, name, format('index %s', indexrelid::regclass), concat(indexprs, indpred) from relations join pg_index on indrelid = relations.oid
    union all
    select schema, name, format('policy %s', polname), concat(polqual, polwithcheck) from relations join pg_policy on polrelid = relations.oid
    union all
    select schema, name, case rulename when '_RETURN' then 'its query' else format('rule %s', rulename) end, concat(ev_qual, ev_action)
    from relations join pg_rewrite on ev_class = relations.oid
    union all
    select schema, name, format('trigger %s', tgname), tgqual::text from relations join pg_trigger on tgrelid = relations.oid
    union all
    select schema, name, 'its partition key', partexprs::text from relations join pg_partitioned_table on partrelid = relations.oid
    union all
    select schema, name, format('statistics %s', stxname), stxexprs::text from relations join pg_statistic_ext on stxrelid = relations.oid
    union all
    select schema, name, format('constraint %s', conname), conbin::text from types join pg_constraint on contypid = types.oid
    union all
    select schema, name, 'its default', typdefaultbin::text from types
    union all
    select schema, proname, 'its body', prosqlbody::text from pg_proc join namespaces on namespaces.oid = pronamespace
  )
  select distinct schema, name, part, ${SIGNATURE} as routine, format('%s(%s)', proname, oidvectortypes(proargtypes)) as called,
    null::int as since
  from expressions cross join lateral regexp_matches(tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') found
  join pg_proc on pg_proc.oid = found[1]::oid
  where pronamespace = 'pg_catalog'::regnamespace and pg_proc.oid < 16384
  union all
  select schema, name, part, null, called, since
  from expressions join (values
    ('[{]JSONISPREDICATE ', 'IS JSON', 16),
    ('[{]JSONCONSTRUCTOREXPR ', 'a constructor of SQL/JSON', 16),
    ('[{]JSONCONSTRUCTOREXPR :type [567]', 'JSON(), JSON_SCALAR or JSON_SERIALIZE', 17),
    ('[{]JSONEXPR ', 'JSON_EXISTS, JSON_VALUE, JSON_QUERY or JSON_TABLE', 17)
  ) syntax (node, called, since) on tree ~ node
  order by 1, 2, 3, 4, 6`

/** Reads which functions of PostgreSQL's own the product's tables, views, types and functions are made with. */
export async function readRoutineUses(source: ClientBase, schema: string): Promise<RoutineUse[]> {
  return inTransaction(source, async () => {
    await useSchema(source, schema)
    return z.array(routineUseSchema).parse((await source.query(ROUTINES_SQL, [schema])).rows)
  })
}

/** Which of these routines a server does not have. */
export async function missingRoutines(
  target: ClientBase,
  routines: readonly string[],
): Promise<ReadonlySet<string>> {
  const { rows } = await target.query<{ routine: string }>(
    `select ${SIGNATURE} as routine from pg_proc
     where pronamespace = 'pg_catalog'::regnamespace and ${SIGNATURE} = any ($1)`,
    [routines],
  )
  const known = new Set(rows.map(({ routine }) => routine))
  return new Set(routines.filter((routine) => !known.has(routine)))
}

/** Columns in which the tenant has an interval that is infinite: `orders.due`. */
export async function infiniteIntervals(
  source: ClientBase,
  scope: TenantScope,
  tables: readonly TableShape[],
): Promise<{ readonly table: string; readonly column: string }[]> {
  const found: { table: string; column: string }[] = []
  await asTenant(source, scope, async () => {
    for (const { table, columns } of tables) {
      for (const { name, type } of columns) {
        const column = quoteIdentifier(name)
        if (!type.startsWith('interval')) continue
        const isInfinite = type.endsWith('[]')
          ? `'infinity' = any (${column}) or '-infinity' = any (${column})`
          : `not isfinite(${column})`
        const { rowCount } = await source.query(
          `select from ${quoteTable(table)} where ${isInfinite} limit 1`,
        )
        if (rowCount !== 0) found.push({ table: tableKey(table, scope.schema), column: name })
      }
    }
  })
  return found
}
