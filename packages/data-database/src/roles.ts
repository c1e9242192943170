import { FreeholdError } from '@freehold/contract'
import { quoteIdentifier, quoteLiteral } from '@freehold/postgres'
import type { ClientBase } from 'pg'

/** What each of Freehold's roles may do besides logging in; none is a superuser and none passes by RLS. */
export const CLUSTER_ROLES = {
  /** Owns every object that Freehold creates, and creates the silos. */
  freehold_owner: 'createdb noreplication',
  /** Streams and applies the changes of the tenant that moves. */
  freehold_mover: 'nocreatedb replication',
  /** Product code, through the router. */
  freehold_app: 'nocreatedb noreplication',
  /** The control database: the control API and the workers. In an adopted database: who lives there. */
  freehold_control: 'nocreatedb noreplication',
  /** The control database: routers, which only look placements up. */
  freehold_reader: 'nocreatedb noreplication',
} as const

export type ClusterRole = keyof typeof CLUSTER_ROLES
export type RolePasswords = Readonly<Record<ClusterRole, string>>

export function roleNames(): ClusterRole[] {
  return Object.keys(CLUSTER_ROLES) as ClusterRole[]
}

/**
 * Creates Freehold's roles, or brings existing ones to the same rights and passwords.
 *
 * @param client in a transaction, as superuser.
 */
export async function createClusterRoles(client: ClientBase, passwords: RolePasswords): Promise<void> {
  for (const role of await createMissing(client)) {
    await client.query(
      `alter role ${quoteIdentifier(role)} with login nosuperuser nocreaterole nobypassrls ${CLUSTER_ROLES[role]}
         password ${quoteLiteral(passwords[role])}`,
    )
  }
}

/** The roles that log in where there is no control plane: product code, and whoever lets tenants in. */
export type RouterPasswords = Readonly<Record<'freehold_app' | 'freehold_control', string>>

/**
 * Creates what a router needs without a control plane. All other roles exist and cannot log in.
 *
 * @param client in a transaction, as superuser or as a role that may create roles.
 * @param ours whether the roles may exist already, with these passwords. Roles belong to the whole cluster: other
 * databases in it may be in use with them.
 * @throws FreeholdError `config_invalid` when one of the roles exists and is not ours, or could pass by row security.
 */
export async function createRouterRoles(
  client: ClientBase,
  passwords: RouterPasswords,
  ours: boolean,
): Promise<void> {
  const { rows: existing } = await client.query<{ rolname: string }>(
    'select rolname from pg_roles where rolname = any($1) and rolcanlogin',
    [roleNames()],
  )
  if (existing[0] && !ours) {
    throw new FreeholdError(
      'config_invalid',
      `The role ${existing[0].rolname} exists in this cluster and has a password of its own: name the file with it (--like).`,
    )
  }
  await createMissing(client)
  const { rows } = await client.query<{ rolname: string }>(
    'select rolname from pg_roles where rolname = any($1) and (rolsuper or rolbypassrls)',
    [roleNames()],
  )
  if (rows[0]) {
    throw new FreeholdError(
      'config_invalid',
      `The role ${rows[0].rolname} exists and passes by row security: alter role ${rows[0].rolname} nosuperuser nobypassrls.`,
    )
  }
  for (const role of ['freehold_app', 'freehold_control'] as const) {
    await client.query(
      `alter role ${quoteIdentifier(role)} with login password ${quoteLiteral(passwords[role])}`,
    )
  }
}

async function createMissing(client: ClientBase): Promise<ClusterRole[]> {
  const existing = await client.query<{ rolname: string }>('select rolname from pg_roles')
  const names = new Set(existing.rows.map((row) => row.rolname))
  const roles = roleNames()
  for (const role of roles) {
    if (!names.has(role)) await client.query(`create role ${quoteIdentifier(role)} nologin`)
  }
  return roles
}
