import { inTransaction } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { z } from 'zod'
import { useSchema } from './entered.ts'

const tableFactsSchema = z.object({
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
/** A table as the database describes it, fit to be moved or not. */
export type TableFacts = z.infer<typeof tableFactsSchema>

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
       -- Those that note the changes of a tenant that is moving fire for replication, and for nobody else's rows.
       and trigger.tgfoid is distinct from to_regprocedure('freehold.record_change()')
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
        -- types have no binary form. An infinite interval, which there is since 17, an older server would take for one that ends.
        'binary', (attribute.atttypid < 16384 or type.typtype = 'e') and type.typsend <> 0 and type.typreceive <> 0
          and coalesce(element.typname, type.typname) !~ '^(reg|interval$)',
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
 * Reads what there is of tables: in a tenant's own schema, or the shared ones.
 *
 * @param client entered as nobody, in no transaction: only catalogs are read.
 */
export async function readTableFacts(client: ClientBase, schema: string): Promise<TableFacts[]> {
  return inTransaction(client, async () => {
    await useSchema(client, schema)
    return z.array(tableFactsSchema).parse((await client.query(TABLES_SQL, [schema])).rows)
  })
}
