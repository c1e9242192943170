import { FreeholdError, type ProblemIssue } from '@freehold/contract'
import { inTransaction, quoteIdentifier, type TableName } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { z } from 'zod'
import { useSchema } from './entered.ts'

export interface Column {
  readonly name: string
  /** The type as written in SQL, with its schema where that is needed. */
  readonly type: string
  /**
   * Whether equal values have equal bytes on every server: built-in, and neither an array, an enum nor a composite,
   * whose wire format and hash contain object ids that differ between databases.
   */
  readonly portable: boolean
  /** Whether the binary format of COPY holds nothing that differs between databases. */
  readonly binary: boolean
  /** GENERATED ALWAYS AS IDENTITY: an update may not name a value for it. */
  readonly alwaysIdentity: boolean
}

/** A tenant table as the mover needs to know it. */
export interface TableShape {
  /** What the table is called at both ends of a move: its bare name in the tenant's schema there, see {@link tableKey}. */
  readonly key: string
  readonly table: TableName
  readonly tenantColumn: string
  readonly columns: readonly Column[]
  /** Columns that the target computes: compared, and not carried over. */
  readonly generated: readonly Column[]
  readonly primaryKey: readonly { readonly name: string; readonly type: string }[]
}

/** A table of the tenant as it is at each end of a move: the same columns, and perhaps another schema. */
export interface TablePair {
  readonly source: TableShape
  readonly target: TableShape
}

/**
 * One name for a table, for maps and messages: bare in the schema where the tenant's tables are. No two tables have the
 * same: a part with a dot in it is quoted.
 */
export function tableKey(table: TableName, home = 'public'): string {
  return table.schema === home ? keyPart(table.name) : `${keyPart(table.schema)}.${keyPart(table.name)}`
}

function keyPart(name: string): string {
  return /[."]/.test(name) ? quoteIdentifier(name) : name
}

const rowSchema = z.object({
  schema: z.string(),
  name: z.string(),
  kind: z.enum(['tenant', 'reference']).nullable(),
  tenant_column: z.string().nullable(),
  guarded: z.boolean(),
  replica_identities: z.array(z.string()),
  unlogged: z.boolean(),
  replica_triggers: z.array(z.string()),
  hidden_sequences: z.array(z.string()),
  columns: z.array(
    z.object({
      name: z.string(),
      type: z.string(),
      portable: z.boolean(),
      binary: z.boolean(),
      alwaysIdentity: z.boolean(),
      generated: z.boolean(),
    }),
  ),
  primary_key: z.array(z.object({ name: z.string(), type: z.string() })),
})
type TableRow = z.infer<typeof rowSchema>

/**
 * Every table that is not Freehold's own: of a tenant's own schema, or all that are in nobody's. Partitions are left out: their partitioned table stands
 * for them. Types whose text and bytes are the same for equal values everywhere count as portable.
 */
const TABLES_SQL = `
  select
    namespace.nspname as schema, class.relname as name, managed.kind, managed.tenant_column,
    not exists (
      select from pg_class member
      where (member.oid = class.oid or member.oid in (select relid from pg_partition_tree(class.oid)))
        and not (member.relrowsecurity and member.relforcerowsecurity)
    ) as guarded,
    (select coalesce(array_agg(distinct member.relreplident::text), '{}') from pg_class member
     where member.relkind = 'r'
       and (member.oid = class.oid or member.oid in (select relid from pg_partition_tree(class.oid)))
    ) as replica_identities,
    exists (select from pg_class member
     where member.relpersistence <> 'p'
       and (member.oid = class.oid or member.oid in (select relid from pg_partition_tree(class.oid)))
    ) as unlogged,
    (select coalesce(array_agg(trigger.tgname::text), '{}') from pg_trigger trigger
     where trigger.tgrelid = class.oid and not trigger.tgisinternal and trigger.tgenabled in ('A', 'R')
    ) as replica_triggers,
    (select coalesce(array_agg(distinct sequence.relname::text), '{}')
     from pg_attrdef
     join pg_depend dependency on dependency.classid = 'pg_attrdef'::regclass and dependency.objid = pg_attrdef.oid
       and dependency.refclassid = 'pg_class'::regclass
     join pg_class sequence on sequence.oid = dependency.refobjid
     where pg_attrdef.adrelid = class.oid
       -- In a CASE, because the function raises an error for whatever is not a sequence.
       and case when sequence.relkind = 'S' then not has_sequence_privilege(sequence.oid, 'update') end
    ) as hidden_sequences,
    (select coalesce(jsonb_agg(jsonb_build_object(
        'name', attribute.attname,
        'type', format_type(attribute.atttypid, attribute.atttypmod),
        'portable', attribute.atttypid in (
          'bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype, 'text'::regtype,
          'varchar'::regtype, 'bytea'::regtype, 'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype),
        -- Types made by users have object ids of their own in every database, and arrays and composites of them
        -- carry those in their binary form; an enum carries its label. So do names of objects (regclass); and a few
        -- types have no binary form.
        'binary', (attribute.atttypid < 16384 or type.typtype = 'e') and type.typsend <> 0 and type.typreceive <> 0
          and coalesce(element.typname, type.typname) !~ '^reg',
        'alwaysIdentity', attribute.attidentity = 'a',
        'generated', attribute.attgenerated <> ''
      ) order by attribute.attnum), '[]')
     from pg_attribute attribute
     join pg_type type on type.oid = attribute.atttypid
     left join pg_type element on element.oid = type.typelem and type.typcategory = 'A'
     where attribute.attrelid = class.oid and attribute.attnum > 0
       and not attribute.attisdropped) as columns,
    (select coalesce(jsonb_agg(jsonb_build_object(
        'name', attribute.attname, 'type', format_type(attribute.atttypid, attribute.atttypmod)
      ) order by key.position), '[]')
     from pg_index index
     cross join lateral unnest(index.indkey::int2[]) with ordinality key (attnum, position)
     join pg_attribute attribute on attribute.attrelid = class.oid and attribute.attnum = key.attnum
     where index.indrelid = class.oid and index.indisprimary and index.indimmediate
       and not exists (select from pg_attribute generated where generated.attrelid = class.oid
         and generated.attnum = any (index.indkey) and generated.attgenerated <> '')) as primary_key
  from pg_class class
  join pg_namespace namespace on namespace.oid = class.relnamespace
  left join freehold.managed_table managed on managed.relation = class.oid
  where class.relkind in ('r', 'p') and not class.relispartition
    and namespace.nspname not in ('pg_catalog', 'information_schema', 'freehold', 'freehold_migrations')
    and namespace.nspname !~ '^pg_(toast|temp)'
    and case when $1 = 'public'
      then not exists (select from freehold.tenant_schema own where own.schema_name = namespace.nspname)
      else namespace.nspname = $1
    end
  order by 1, 2`

/**
 * Reads the tenant tables of a database: those in a tenant's own schema, or the shared ones.
 *
 * @param client entered as nobody, in no transaction: only catalogs are read.
 * @param schema where the tenant's tables are; `public` for the shared ones and for a silo's.
 * @throws FreeholdError `table_without_tenant_column`, `table_without_primary_key`, `table_with_replica_trigger` or
 * `table_not_protected`,
 * naming every such table, when a table could not be moved without losing or exposing rows.
 */
export async function readTables(client: ClientBase, schema = 'public'): Promise<TableShape[]> {
  const rows = await inTransaction(client, async () => {
    await useSchema(client, schema)
    return z.array(rowSchema).parse((await client.query(TABLES_SQL, [schema])).rows)
  })
  refuse(
    'table_without_tenant_column',
    rows.filter((row) => row.kind === null),
    (row) => `${row.name} is declared neither as a tenant table nor as a reference table`,
  )
  const tenantTables = rows.filter((row) => row.kind === 'tenant')
  refuse(
    'table_without_tenant_column',
    tenantTables.filter((row) => !row.columns.some((column) => column.name === row.tenant_column)),
    (row) => `${row.name} has no column ${row.tenant_column}`,
  )
  refuse(
    'table_without_primary_key',
    tenantTables.filter((row) => !row.primary_key.some((column) => column.name === row.tenant_column)),
    (row) =>
      `${row.name} has no primary key that includes ${row.tenant_column}, is not deferrable and has no generated column`,
  )
  refuse(
    'table_without_primary_key',
    tenantTables.filter((row) =>
      row.replica_identities.some((identity) => identity !== 'd' && identity !== 'f'),
    ),
    (row) => `${row.name} or one of its partitions does not use its primary key as replica identity`,
  )
  refuse(
    'table_without_primary_key',
    tenantTables.filter((row) => row.unlogged),
    (row) => `${row.name} or one of its partitions is unlogged, so that its changes cannot be followed`,
  )
  refuse(
    'table_with_replica_trigger',
    tenantTables.filter((row) => row.replica_triggers.length > 0),
    (row) => `${row.name} has ${row.replica_triggers.join(', ')}, enabled ALWAYS or REPLICA`,
  )
  refuse(
    'table_not_protected',
    tenantTables.filter((row) => !row.guarded),
    (row) => `${row.name} or one of its partitions does not enable and force row security`,
  )
  refuse(
    'table_not_protected',
    tenantTables.filter((row) => row.hidden_sequences.length > 0),
    (row) => `${row.name} draws from ${row.hidden_sequences.join(', ')}, which the mover may not align`,
  )
  return tenantTables.map((row) => ({
    key: tableKey(row, schema),
    table: { schema: row.schema, name: row.name },
    tenantColumn: row.tenant_column ?? '',
    columns: row.columns.filter((column) => !column.generated),
    generated: row.columns.filter((column) => column.generated),
    primaryKey: row.primary_key,
  }))
}

function refuse(
  code:
    | 'table_without_tenant_column'
    | 'table_without_primary_key'
    | 'table_with_replica_trigger'
    | 'table_not_protected',
  rows: readonly TableRow[],
  describe: (row: TableRow) => string,
): void {
  if (rows.length === 0) return
  const issues: ProblemIssue[] = rows.map((row) => ({
    path: tableKey({ schema: row.schema, name: row.name }),
    message: describe(row),
  }))
  throw new FreeholdError(code, `${issues.map((issue) => issue.message).join('; ')}.`, { issues })
}

/**
 * Finds each table's counterpart, and checks that every table can be copied as it is: same names, same columns of the
 * same types, same primary keys. The order of the columns does not matter, nor in which schema the tenant's tables are.
 *
 * @throws FreeholdError `schema_mismatch`, naming the tables that differ.
 */
export function pairTables(source: readonly TableShape[], target: readonly TableShape[]): TablePair[] {
  const counterparts = new Map(target.map((shape) => [shape.key, shape]))
  const pairs = source.flatMap((shape) => {
    const counterpart = counterparts.get(shape.key)
    return counterpart !== undefined && signature(counterpart) === signature(shape)
      ? [{ source: shape, target: counterpart }]
      : []
  })
  const paired = new Set(pairs.map((pair) => pair.source.key))
  const names = new Set([...source, ...target].map((shape) => shape.key).filter((key) => !paired.has(key)))
  if (names.size === 0) return pairs
  throw new FreeholdError('schema_mismatch', `Source and target differ in: ${[...names].join(', ')}.`)
}

function signature(shape: TableShape): string {
  const columns = shape.columns.map((column) => [column.name, column.type]).sort()
  return JSON.stringify([shape.tenantColumn, columns, shape.primaryKey])
}
