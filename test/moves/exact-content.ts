import { createHash } from 'node:crypto'
import { type DatabaseAddress, withClient } from '@freehold/postgres'

/**
 * Every row of a tenant as text, by table, each value as its type's output function writes it, floats as their bits too
 * (there are many NaN, and they are one), with the partition in which the row stands. Shares nothing with the engine's verifier.
 */
export async function exactContent(
  superuser: DatabaseAddress,
  tenantId: string,
): Promise<Record<string, string[]>> {
  return withClient(superuser, 'test', async (client) => {
    await client.query(
      `set datestyle = 'ISO, DMY'; set intervalstyle = 'postgres_verbose'; set timezone = 'Asia/Kathmandu';
       set extra_float_digits = 3; set bytea_output = 'hex'; set lc_monetary = 'C'; set xmloption = 'content'`,
    )
    const tables = await client.query<{ relation: string; line: string }>(
      `select relation::text, (
         select string_agg(format('%L || format(%L, %s)', attname || '=', '%L', case atttypid
             when 'float4'::regtype then format('%1$I::text || coalesce(encode(float4send(nullif(%1$I, %2$L)), %3$L), %2$L)', attname, 'NaN', 'hex')
             when 'float8'::regtype then format('%1$I::text || coalesce(encode(float8send(nullif(%1$I, %2$L)), %3$L), %2$L)', attname, 'NaN', 'hex')
             else format('%I', attname) end), ' || E''\\n'' || ' order by attname)
         from pg_attribute where attrelid = relation and attnum > 0 and not attisdropped) as line
       from freehold.managed_table where kind = 'tenant' order by 1`,
    )
    const content: Record<string, string[]> = {}
    for (const { relation, line } of tables.rows) {
      const rows = await client.query<{ row: string }>(
        `select row from (select tableoid::regclass || E'\\n' || ${line} as row from ${relation} where tenant_id = $1) lines
         order by row collate "C"`,
        [tenantId],
      )
      if (rows.rows.length > 0) content[relation] = rows.rows.map(({ row }) => row)
    }
    return content
  })
}

/** For a first look: rows and digest of each table. */
export function digests(content: Record<string, string[]>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(content).map(([table, rows]) => [
      table,
      `${rows.length} rows, md5 ${createHash('md5').update(rows.join('\n\n')).digest('hex')}`,
    ]),
  )
}

/** Columns, keys, indexes, triggers, row security, rights and comments of every table outside of Freehold's schema. */
export async function exactStructure(superuser: DatabaseAddress): Promise<string[]> {
  return withClient(superuser, 'test', async (client) => {
    const result = await client.query<{ line: string }>(
      `with tables as (select oid, oid::regclass as relation from pg_class where relkind in ('r', 'p')
         and relnamespace::regnamespace::text in ('public', 'annex'))
       select format('column %s.%s %s %s default %s %s%s not null %s collation %s storage %s compression %s',
           relation, attname, attnum, format_type(atttypid, atttypmod), pg_get_expr(adbin, adrelid), attidentity, attgenerated,
           attnotnull, attcollation::regcollation, attstorage, attcompression) as line
         from pg_attribute join tables on tables.oid = attrelid left join pg_attrdef on adrelid = attrelid and adnum = attnum
         where attnum > 0 and not attisdropped
       union all
       select format('constraint %s.%s %s %s %s %s', relation, conname, pg_get_constraintdef(c.oid), convalidated, conislocal,
           obj_description(c.oid, 'pg_constraint'))
         from pg_constraint c join tables on tables.oid = conrelid where conparentid = 0
       union all
       select format('index %s valid %s primary %s replica identity %s clustered %s: %s',
           pg_get_indexdef(indexrelid), indisvalid, indisprimary, indisreplident, indisclustered,
           obj_description(indexrelid, 'pg_class'))
         from pg_index join tables on tables.oid = indrelid
       union all
       select format('trigger %s.%s %s %s', relation, tgname, tgenabled, pg_get_triggerdef(pg_trigger.oid))
         from pg_trigger join tables on tables.oid = tgrelid where not tgisinternal
       union all
       select format('table %s %s %s %s %s %s %s', relation, relkind, relreplident, relrowsecurity, relforcerowsecurity, relacl,
           reloptions) from pg_class join tables using (oid)
       union all
       select format('policy %s.%s %s', tablename, policyname, qual) from pg_policies
       order by 1`,
    )
    return result.rows.map(({ line }) => line)
  })
}
