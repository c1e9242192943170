import type { ClientBase } from 'pg'

/**
 * Removes what a database declares of tables that are not there any more. Nobody reads it; but object ids are given out again in the
 * end, and a dump carries them as numbers, so a later table could be taken for one that was declared.
 *
 * @param owner connected as freehold_owner.
 */
export async function forgetVanishedTables(owner: ClientBase): Promise<void> {
  await owner.query(
    'delete from freehold.managed_table where not exists (select from pg_class where pg_class.oid = relation)',
  )
}
