import type { ClientBase } from 'pg'

const FINGERPRINT = `
  with tables as (
    -- The rows of reference tables are compared by themselves; the mover puts some into those of its target.
    select class.oid, class.relname, class.relkind, namespace.nspname,
      case when managed.kind is distinct from 'reference' then class.relfilenode end as relfilenode,
      (select inhparent from pg_inherits where inhrelid = class.oid and class.relispartition) as parent
    from pg_class class
    join pg_namespace namespace on namespace.oid = class.relnamespace
    left join freehold.managed_table managed on managed.relation = class.oid
    where class.relkind in ('r', 'p')
      and namespace.nspname not in ('pg_catalog', 'information_schema', 'freehold', 'freehold_migrations')
      and namespace.nspname !~ '^pg_(toast|temp)'
      and case when $1 = 'public'
        then not exists (select from freehold.tenant_schema own where own.schema_name = namespace.nspname)
        else namespace.nspname = $1
      end
  ),
  lines as (
    select format('%s %I.%I %s %s %s', oid, nspname, relname, relkind, relfilenode, parent) as line from tables
    union all
    select format('%s %s %I %s %s %s', attrelid, attnum, attname, atttypid, atttypmod, attgenerated)
    -- Looked up by the table: joined, the columns of all that there is in the database would be read through.
    from tables cross join lateral (
      select * from pg_attribute where attrelid = tables.oid and attnum > 0 and not attisdropped offset 0) of_table
    union all
    select format('%s %s %L', tables.oid, kind, tenant_column) from freehold.managed_table
    join tables on tables.oid = relation
  )
  select md5(string_agg(line, ' ' order by line collate "C")) as fingerprint from lines`

/**
 * A digest of what the tables in a tenant's own schema, or the shared ones, are: their columns, their partitions, and the files that hold the rows of all but
 * reference tables. It differs once a table has come, gone, changed its columns or been truncated. It also differs after a table was
 * rewritten as it was (VACUUM FULL, CLUSTER), so a difference is a reason to look again and not yet an error.
 */
export async function schemaFingerprint(client: ClientBase, schema: string): Promise<string> {
  // Named: planning it would take longer than running it, and at the switch writers wait for it.
  const asked = { name: 'schema-fingerprint', text: FINGERPRINT, values: [schema] }
  const result = await client.query<{ fingerprint: string | null }>(asked)
  return result.rows[0]?.fingerprint ?? ''
}
