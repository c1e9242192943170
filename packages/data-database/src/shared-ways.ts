import type { ClientBase } from 'pg'

/**
 * Takes from everybody, in one database, what PostgreSQL grants to all and what would carry something from one
 * tenant to another, as all of them are the same role to the server. Safe to run twice.
 *
 * @param client as superuser.
 */
export async function closeSharedWays(client: ClientBase): Promise<void> {
  // Its rule sets the session, also from a statement that calls no function.
  await client.query('revoke update on pg_catalog.pg_settings from public')
  await revokeLargeObjects(client)
}

/** Large objects belong to a role, and no policy can tell the tenants apart who have written them. */
async function revokeLargeObjects(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ signature: string }>(
    `select oid::regprocedure::text as signature from pg_proc
      where pronamespace = 'pg_catalog'::regnamespace
        and (starts_with(proname, 'lo_') or proname in ('loread', 'lowrite'))`,
  )
  const functions = rows.map((row) => row.signature).join(', ')
  await client.query(`revoke execute on function ${functions} from public`)
}
