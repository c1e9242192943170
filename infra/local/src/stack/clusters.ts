import { setTimeout as sleep } from 'node:timers/promises'
import { isFreeholdError } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import {
  type ClusterRole,
  ensureRolePasswords,
  prepareCluster,
  type RolePasswords,
  rolePasswordFile,
} from '../cluster-roles.ts'
import { type Cluster, type ClusterOptions, startCluster } from '../postgres-cluster.ts'
import type { Durability } from '../postgres-settings.ts'
import { REGIONS, type StackRegion, stackPaths } from './layout.ts'

/** The cluster of a region, with Freehold's roles. */
export interface StackCluster {
  readonly region: StackRegion
  readonly cluster: Cluster
  /** The address of one of its databases for one of Freehold's roles. */
  as(role: ClusterRole, database: string): DatabaseAddress
  /** The reference under which the catalog keeps the password of a role. */
  secretReference(role: ClusterRole): string
}

/** How long servers take to end whose stack was killed. */
const PREDECESSOR_PATIENCE_MS = 15_000
const PREDECESSOR_POLL_MS = 200

/**
 * Starts the cluster of each region. When one does not start, the others are stopped again.
 *
 * @param ports wished for, by the name of the cluster.
 */
export async function startClusters(
  directory: string,
  durability: Durability,
  ports: Readonly<Record<string, number>>,
): Promise<StackCluster[]> {
  const starts = REGIONS.map((region) => startRegion(directory, region, durability, ports[region.cluster]))
  const results = await Promise.allSettled(starts)
  const failure = results.find((result) => result.status === 'rejected')
  const started = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  if (failure === undefined) return started
  await stopClusters(started)
  throw failure.reason
}

export async function stopClusters(clusters: readonly StackCluster[]): Promise<void> {
  await Promise.all(clusters.map(({ cluster }) => cluster.stop()))
}

async function startRegion(
  directory: string,
  region: StackRegion,
  durability: Durability,
  port: number | undefined,
): Promise<StackCluster> {
  const { cluster: name } = region
  const { secrets, cluster: clusterDirectory } = stackPaths(directory)
  const passwords = await ensureRolePasswords(secrets, name)
  const cluster = await startAfterPredecessor({
    name: name,
    directory: clusterDirectory(name),
    durability,
    ...(port === undefined ? {} : { port }),
  })
  try {
    await prepareCluster(cluster, passwords)
  } catch (error) {
    await cluster.stop()
    throw error
  }
  return stackCluster(region, cluster, passwords, secrets)
}

/** We hold the stack's lock, so a server that runs belongs to a stack that was killed, and is about to end. */
async function startAfterPredecessor(options: ClusterOptions): Promise<Cluster> {
  const deadline = Date.now() + PREDECESSOR_PATIENCE_MS
  for (;;) {
    try {
      return await startCluster(options)
    } catch (error) {
      if (!isFreeholdError(error, 'stack_already_running') || Date.now() > deadline) throw error
    }
    await sleep(PREDECESSOR_POLL_MS)
  }
}

function stackCluster(
  region: StackRegion,
  cluster: Cluster,
  passwords: RolePasswords,
  secrets: string,
): StackCluster {
  return {
    region,
    cluster,
    as: (role, database) => cluster.address(database, { user: role, password: passwords[role] }),
    secretReference: (role) => `file:${rolePasswordFile(secrets, region.cluster, role)}`,
  }
}
