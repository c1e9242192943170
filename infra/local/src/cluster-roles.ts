import { join } from 'node:path'
import {
  type ClusterRole,
  closeSharedWays,
  createClusterRoles,
  type RolePasswords,
} from '@freehold/data-database'
import { inTransaction, withClient } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { Cluster } from './postgres-cluster.ts'
import { ensureSecretFile, randomSecret } from './secret-file.ts'

export type { ClusterRole, RolePasswords }

/** The file that holds the password of a role, for references of the form `file:<path>`. */
export function rolePasswordFile(secretsDirectory: string, cluster: string, role: ClusterRole): string {
  return join(secretsDirectory, `${cluster}-${role}`)
}

/** The passwords of a cluster's roles from `<secretsDirectory>/<cluster>-<role>`, made at random the first time. */
export async function ensureRolePasswords(secretsDirectory: string, cluster: string): Promise<RolePasswords> {
  return await forEachRole((role) => ensureSecretFile(rolePasswordFile(secretsDirectory, cluster, role)))
}

/** Passwords for a cluster that does not outlive this process. */
export async function randomRolePasswords(): Promise<RolePasswords> {
  return await forEachRole(async () => randomSecret())
}

/**
 * Creates Freehold's roles in a cluster, or brings existing ones to the same rights and passwords, and closes what
 * every role may use by default to reach another's session or data. Databases that are created from then on are
 * closed likewise. May be run any number of times, also by several processes at once.
 */
export async function prepareCluster(cluster: Cluster, passwords: RolePasswords): Promise<void> {
  await withClient(cluster.address('postgres'), 'freehold-prepare', async (client) => {
    // One preparation at a time, until the connection ends.
    await client.query(`select pg_advisory_lock(hashtext('freehold.prepare_cluster'))`)
    await inTransaction(client, async () => {
      await createClusterRoles(client, passwords)
      // The mover applies rows that were checked where they were written: triggers must not fire again.
      await client.query('grant set on parameter session_replication_role to freehold_mover')
      // A worker that takes a move over ends what its predecessor has under way, and a purge waits for readers.
      await client.query('grant pg_signal_backend, pg_read_all_stats to freehold_owner, freehold_mover')
      await closeSharedWays(client)
      await keepGuestsOut(client)
    })
    // New databases are copies of this one. After the roles are there for all to see: those that keep a right are named.
    await withClient(cluster.address('template1'), 'freehold-prepare', (template) =>
      inTransaction(template, () => closeSharedWays(template)),
    )
  })
}

/** Of Freehold's roles only the owner has business in the databases that every cluster comes with. */
async function keepGuestsOut(client: ClientBase): Promise<void> {
  await client.query('revoke connect, temporary on database postgres, template1 from public')
  await client.query('grant connect on database postgres to freehold_owner')
}

async function forEachRole(password: (role: ClusterRole) => Promise<string>): Promise<RolePasswords> {
  return {
    freehold_owner: await password('freehold_owner'),
    freehold_mover: await password('freehold_mover'),
    freehold_app: await password('freehold_app'),
    freehold_control: await password('freehold_control'),
    freehold_reader: await password('freehold_reader'),
  }
}
