import type { ClientBase } from 'pg'

const FIRST_WITHOUT_POWER_OF_CREATEROLE = 160_000

/**
 * What code that runs on this connection could do beyond the database: whatever a constraint, a default or a trigger
 * of the inspected database calls has it, as no SET ROLE holds it back. The server is asked, and not the address.
 *
 * @returns why the connection is too powerful, one reason each; empty for an ordinary role.
 */
export async function readPowers(client: ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ reason: string }>(
    `select distinct case
         when role.rolsuper and me.oid = role.oid then me.rolname || ' is a superuser'
         when role.rolsuper then me.rolname || ' may become the superuser ' || role.rolname
         when role.oid = me.oid then me.rolname || ' has CREATEROLE, and so any right'
         else me.rolname || ' is a member of ' || role.rolname
       end as reason
     from pg_roles me
     join pg_roles role on role.oid = me.oid or not me.rolsuper and pg_has_role(me.oid, role.oid, 'MEMBER')
     where me.rolname in (session_user, current_user)
       and (role.rolsuper
         or role.rolname in ('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files')
         or role.oid = me.oid and me.rolcreaterole and current_setting('server_version_num')::int < $1)
     order by 1`,
    [FIRST_WITHOUT_POWER_OF_CREATEROLE],
  )
  return rows.map(({ reason }) => reason)
}
