import { quoteIdentifier } from '@freehold/postgres'
import type { ClientBase } from 'pg'

/**
 * Functions that everybody may call and that carry something from one tenant to another, as all of them are the same
 * role to the server; patterns of names in pg_catalog.
 */
export const SHARED_FUNCTIONS: readonly { readonly names: string; readonly why: string }[] = [
  {
    names: '^lo_|^loread$|^lowrite$',
    why: 'large objects belong to a role, and no policy can tell who has written them',
  },
  { names: '^pg_stat_get_(activity|backend_activity)$', why: 'one tenant reads the statements of another' },
  { names: '^pg_(cancel|terminate)_backend$', why: 'one tenant ends the statements of another' },
  {
    names: '^ts_stat$|^(query|cursor|table|schema|database)_to_xml',
    why: 'they run SQL that stands in a text',
  },
  { names: '^setseed$', why: 'what is random to the next tenant is known to the last' },
  { names: '^pg_logical_emit_message$', why: 'one tenant fills the log that the moves of all are read from' },
]

/** Who must not have them: product code. Freehold's other roles, and those that were there before, keep them. */
const KEPT_FROM = 'freehold_app'

/**
 * Takes from everybody, in one database, what PostgreSQL grants to all and what would carry something from one
 * tenant to another. Roles that exist keep what they had, all but `freehold_app`. Safe to run twice.
 *
 * @param client in a transaction, as superuser.
 */
export async function closeSharedWays(client: ClientBase): Promise<void> {
  const roles = await otherRoles(client)
  // Its rule sets the session, also from a statement that calls no function.
  await client.query('revoke update on pg_catalog.pg_settings from public')
  for (const { names } of SHARED_FUNCTIONS) {
    const { rows } = await client.query<{ signature: string }>(
      `select oid::regprocedure::text as signature from pg_proc
       where pronamespace = 'pg_catalog'::regnamespace and proname ~ $1`,
      [names],
    )
    const functions = rows.map((row) => row.signature).join(', ')
    await client.query(`revoke execute on function ${functions} from public`)
    if (roles !== '') await client.query(`grant execute on function ${functions} to ${roles}`)
  }
}

async function otherRoles(client: ClientBase): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    `select rolname as name from pg_roles where not rolsuper and rolname <> $1 and rolname !~ '^pg_' order by 1`,
    [KEPT_FROM],
  )
  return rows.map(({ name }) => quoteIdentifier(name)).join(', ')
}
