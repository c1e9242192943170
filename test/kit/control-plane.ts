import { type Catalog, openCatalog } from '@freehold/catalog'
import {
  type ClusterId,
  clusterIdSchema,
  type DataDatabaseId,
  jurisdictionSchema,
  type RegionId,
  regionIdSchema,
  tierIdSchema,
} from '@freehold/contract'
import {
  POSTGRES_VERSIONS,
  prepareCluster,
  type RolePasswords,
  randomRolePasswords,
  startTemporaryCluster,
  type TemporaryCluster,
} from '@freehold/local'
import type { DatabaseAddress } from '@freehold/postgres'
import { z } from 'zod'
import { asRole, type ClusterRole, createCatalogDatabase } from './databases.ts'

/** A cluster with Freehold's roles, and how to reach it. */
export interface PreparedCluster {
  readonly cluster: TemporaryCluster
  readonly passwords: RolePasswords
  as(role: ClusterRole, database: string): DatabaseAddress
}

/**
 * The version of the servers of tests: that of the stack, or `FREEHOLD_POSTGRES_VERSION`, by which any test can be run on
 * another one.
 */
const VERSION = z
  .enum(POSTGRES_VERSIONS.map(String))
  .transform((version) => POSTGRES_VERSIONS.find((known) => String(known) === version))
  .optional()
  .parse(process.env.FREEHOLD_POSTGRES_VERSION)

/** Starts an empty cluster that has Freehold's roles. */
export async function startPreparedCluster(
  name: string,
  settings: Readonly<Record<string, string>> = {},
  version = VERSION,
): Promise<PreparedCluster> {
  const cluster = await startTemporaryCluster(name, settings, version)
  try {
    const passwords = await randomRolePasswords()
    await prepareCluster(cluster, passwords)
    return { cluster, passwords, as: (role, database) => asRole(cluster, passwords, role, database) }
  } catch (error) {
    await cluster.remove()
    throw error
  }
}

/** Creates a control database on the cluster, with the tiers, and opens it as the control API and workers do. */
export async function openTestCatalog(on: PreparedCluster, name = 'freehold_catalog'): Promise<Catalog> {
  await createCatalogDatabase(on.cluster, on.passwords, name)
  const catalog = openCatalog({ address: on.as('freehold_control', name), applicationName: 'test' })
  const tiers = [
    ['free', 'pool'],
    ['pro', 'schema'],
    ['enterprise', 'silo'],
  ] as const
  for (const [id, isolation] of tiers) {
    await catalog.topology.registerTier({ id: tierIdSchema.parse(id), name: id, isolation })
  }
  return catalog
}

/** What {@link registerTestCluster} has put into the catalog. */
export interface TestRegion {
  readonly region: RegionId
  readonly cluster: ClusterId
  readonly pool: DataDatabaseId
}

/**
 * Registers a cluster and its pool database in a region (`us-east` lies in the jurisdiction `us`). Its secrets
 * are references to environment variables, which are set here.
 */
export async function registerTestCluster(
  catalog: Catalog,
  on: PreparedCluster,
  regionName: string,
  options: {
    readonly cluster?: string
    readonly pool?: string
    readonly capacityBytes?: number
    /** Where the catalog says that the cluster listens, if not where it does. */
    readonly port?: number
  } = {},
): Promise<TestRegion> {
  const region = regionIdSchema.parse(regionName)
  const cluster = clusterIdSchema.parse(options.cluster ?? `${regionName}-1`)
  const jurisdiction = jurisdictionSchema.parse(regionName.split('-')[0])
  await catalog.topology.registerRegion({ id: region, jurisdiction, name: regionName })
  await catalog.topology.registerCluster({
    id: cluster,
    region,
    host: on.cluster.host,
    port: options.port ?? on.cluster.port,
    tls: 'disable',
    ownerSecret: secretOf(on, cluster, 'owner'),
    moverSecret: secretOf(on, cluster, 'mover'),
    appSecret: secretOf(on, cluster, 'app'),
    capacityBytes: options.capacityBytes ?? null,
  })
  const pool = await catalog.topology.registerPool({ clusterId: cluster, name: options.pool ?? 'pool' })
  return { region, cluster, pool }
}

/** A process may have several clusters of the same name, each in a catalog of its own; none has another's port. */
function secretOf(on: PreparedCluster, cluster: string, role: 'owner' | 'mover' | 'app'): string {
  const variable = `TEST_${cluster}_${on.cluster.port}_${role}_PASSWORD`.toUpperCase().replaceAll('-', '_')
  process.env[variable] = on.passwords[`freehold_${role}`]
  return `env:${variable}`
}
