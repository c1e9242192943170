import { type DatabaseAddress, withClient } from '@freehold/postgres'

/**
 * Everything about the product's tables that is not rows: constraints, indexes, triggers, row security, rights and
 * comments, each as a line of text.
 */
export async function tableStructure(superuser: DatabaseAddress): Promise<string[]> {
  return withClient(superuser, 'test', async (client) => {
    const result = await client.query<{ line: string }>(
      `with tables as (select oid, relname from pg_class
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p'))
       select format('constraint %s.%s %s %s %s', relname, conname, pg_get_constraintdef(c.oid), convalidated,
           obj_description(c.oid, 'pg_constraint')) as line
         from pg_constraint c join tables on tables.oid = conrelid where conparentid = 0
       union all
       select format('index %s %s %s', pg_get_indexdef(indexrelid), indisvalid,
           obj_description(indexrelid, 'pg_class'))
         from pg_index join tables on tables.oid = indrelid
         where not exists (select from pg_inherits where inhrelid = indexrelid)
       union all
       select format('indexes of %s: %s', relname, count(*))
         from pg_index join tables on tables.oid = indrelid group by relname
       union all
       select format('trigger %s.%s %s', relname, tgname, tgenabled)
         from pg_trigger join tables on tables.oid = tgrelid where not tgisinternal
       union all
       select format('security %s %s %s %s', class.relname, relrowsecurity, relforcerowsecurity, relacl)
         from pg_class class join tables using (oid)
       order by 1`,
    )
    return result.rows.map(({ line }) => line)
  })
}
