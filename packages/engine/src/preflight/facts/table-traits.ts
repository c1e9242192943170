import { inTransaction } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { z } from 'zod'
import { useSchema } from '../../database/entered.ts'

const tableTraitSchema = z.object({
  trait: z.enum([
    'row_trigger',
    'rule',
    'replica_rule',
    'inherits',
    'key_without_tenant',
    'default_not_entered',
    'shared_sequence',
    'tied_to_tenant_table',
    'reference_needs_tenant_table',
    'reference_out_of_reach',
    'reference_large',
    'needs_version',
  ]),
  schema: z.string(),
  table: z.string(),
  /** What has the trait, or what it is about: a trigger, an index, another table, a feature. */
  subject: z.string(),
  /** The first major version that has the feature. */
  since: z.int().nullable(),
})
/** Something about a table that a move should know, and that is not needed to carry it over. */
export type TableTrait = z.infer<typeof tableTraitSchema>

/** A reference table that has more takes some tenths of a second to be compared. */
const LARGE_ROWS = 1_000_000

/** Columns of newer catalogs are read through jsonb, so that older servers do not stumble over their names. */
const TRAITS_SQL = `
  with tables as (
    select class.oid as relation, class.relkind, class.relname as name, namespace.nspname as schema, managed.kind,
      managed.tenant_column, tenant.attnum as tenant
    from pg_class class
    join pg_namespace namespace on namespace.oid = class.relnamespace
    left join freehold.managed_table managed on managed.relation = class.oid
    left join pg_attribute tenant on tenant.attrelid = class.oid and tenant.attname = managed.tenant_column
      and not tenant.attisdropped
    where class.relkind in ('r', 'p') and not class.relispartition
      and namespace.nspname not in ('pg_catalog', 'information_schema', 'freehold', 'freehold_migrations')
      and namespace.nspname !~ '^pg_(toast|temp)'
      and case when $1 = 'public'
        then not exists (select from freehold.tenant_schema own where own.schema_name = namespace.nspname)
        else namespace.nspname = $1
      end
  ),
  tenant_tables as (select * from tables where kind = 'tenant'),
  members as (
    select tenant_tables.*, tree.relid from tenant_tables
    cross join lateral (select relid from pg_partition_tree(relation) union select relation) tree
  ),
  traits as (
    select 'row_trigger' as trait, schema, name, tgname::text as subject, null::int as since
    from members join pg_trigger on tgrelid = relid
    where not tgisinternal and tgparentid = 0 and tgenabled = 'O'

    union all
    select case when ev_enabled in ('A', 'R') then 'replica_rule' else 'rule' end, schema, name, rulename, null
    from members join pg_rewrite on ev_class = relid
    where rulename <> '_RETURN' and ev_enabled <> 'D'

    union all
    select 'inherits', schema, name, other.relname, null
    from tenant_tables join pg_inherits on relation in (inhrelid, inhparent)
    join pg_class child on child.oid = inhrelid and not child.relispartition
    join pg_class other on other.oid = case when inhrelid = relation then inhparent else inhrelid end

    union all
    select 'key_without_tenant', schema, name, index.relname, null
    from tenant_tables join pg_index on indrelid = relation
    join pg_class index on index.oid = indexrelid
    where not indisprimary
      and case when indisexclusion then indkey[0] <> tenant
        else indisunique and tenant <> all ((indkey::int2[])[0:indnkeyatts - 1]) end

    union all
    select 'default_not_entered', schema, name, tenant_column, null
    from tenant_tables left join pg_attrdef on adrelid = relation and adnum = tenant
    where tenant is not null and coalesce(pg_get_expr(adbin, adrelid), '') !~ 'freehold\\.'

    union all
    select distinct 'shared_sequence', schema, name, sequence.relname, null::int
    from tenant_tables join pg_attrdef on adrelid = relation
    join pg_depend drawn on drawn.classid = 'pg_attrdef'::regclass and drawn.objid = pg_attrdef.oid
      and drawn.refclassid = 'pg_class'::regclass
    join pg_class sequence on sequence.oid = drawn.refobjid and sequence.relkind = 'S'
    where not exists (select from pg_depend owned where owned.classid = 'pg_class'::regclass
      and owned.objid = sequence.oid and owned.refobjid = adrelid and owned.refobjsubid = adnum
      and owned.deptype in ('a', 'i'))

    union all
    select distinct case when tables.kind is null then 'tied_to_tenant_table' else 'reference_needs_tenant_table' end,
      tables.schema, tables.name, tenant_tables.name, null::int
    from tables join pg_constraint on contype = 'f'
    join tenant_tables on (conrelid, confrelid) = (tables.relation, tenant_tables.relation)
      or tables.kind is null and (conrelid, confrelid) = (tenant_tables.relation, tables.relation)
    where tables.kind is distinct from 'tenant'

    union all
    select 'reference_out_of_reach', schema, name, 'freehold_owner', null
    from tables where kind = 'reference'
      -- Without the role nothing is known, which is said elsewhere.
      and not has_table_privilege(to_regrole('freehold_owner')::oid, relation, 'update, delete, truncate')

    union all
    select 'reference_large', tables.schema, tables.name, sum(member.reltuples)::bigint::text, null
    from tables join pg_class member on member.relkind = 'r'
      and (member.oid = relation or member.oid in (select relid from pg_partition_tree(relation)))
    where kind = 'reference'
    group by 2, 3 having sum(member.reltuples) > ${LARGE_ROWS}

    union all
    select 'needs_version', schema, name, format('virtual generated column %s', attname), 18
    from tenant_tables join pg_attribute on attrelid = relation
    where attgenerated = 'v' and not attisdropped

    union all
    select 'needs_version', schema, name, format('identity column %s of a partitioned table', attname), 17
    from tenant_tables join pg_attribute on attrelid = relation
    where relkind = 'p' and attidentity <> '' and not attisdropped

    union all
    select 'needs_version', schema, name, format('temporal key %s', conname), 18
    from tenant_tables join pg_constraint on conrelid = relation
    where to_jsonb(pg_constraint) ->> 'conperiod' = 'true'

    union all
    select 'needs_version', schema, name, format('constraint %s, which is not enforced', conname), 18
    from tenant_tables join pg_constraint on conrelid = relation
    where to_jsonb(pg_constraint) ->> 'conenforced' = 'false'
  )
  select trait, schema, name as table, subject, since from traits order by trait, schema, name, subject`

/** Reads what is special about the tables in a tenant's own schema, or the shared ones; only catalogs are read. */
export async function readTableTraits(client: ClientBase, schema: string): Promise<TableTrait[]> {
  return inTransaction(client, async () => {
    await useSchema(client, schema)
    return z.array(tableTraitSchema).parse((await client.query(TRAITS_SQL, [schema])).rows)
  })
}
