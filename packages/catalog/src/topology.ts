import {
  type ClusterId,
  clusterIdSchema,
  clusterSchema,
  type DataDatabaseId,
  dataDatabaseIdSchema,
  FreeholdError,
  jurisdictionSchema,
  type Region,
  type RegionId,
  regionIdSchema,
  regionSchema,
  type Tier,
  type Topology,
  tierSchema,
} from '@freehold/contract'
import { z } from 'zod'
import type { ClusterAccess } from './addresses.ts'
import type { CatalogDatabase, Queries } from './database.ts'
import { bigintRow, instantRow } from './rows.ts'

/** A cluster with all that is needed to reach it. */
export type ClusterRecord = z.output<typeof clusterRow>

const clusterRow = z.object({
  id: clusterIdSchema,
  region: regionIdSchema,
  jurisdiction: jurisdictionSchema,
  host: z.string(),
  port: z.int(),
  tls: z.enum(['disable', 'require', 'verify-full']),
  ownerSecret: z.string(),
  moverSecret: z.string(),
  appSecret: z.string(),
  capacityBytes: bigintRow.nullable(),
})

const CLUSTER_COLUMNS = `
  clusters.id, clusters.region_id as region, clusters.jurisdiction, clusters.host, clusters.port, clusters.tls,
  clusters.owner_secret as "ownerSecret", clusters.mover_secret as "moverSecret",
  clusters.app_secret as "appSecret", clusters.capacity_bytes as "capacityBytes"`

/** A database that holds tenants' rows, registered in the catalog. */
export type DataDatabaseRecord = z.output<typeof dataDatabaseRow>

const dataDatabaseRow = z.object({
  id: dataDatabaseIdSchema,
  clusterId: clusterIdSchema,
  jurisdiction: jurisdictionSchema,
  name: z.string(),
  kind: z.enum(['pool', 'silo']),
})

const DATA_DATABASE_COLUMNS = 'id, cluster_id as "clusterId", jurisdiction, name, kind'

export interface NewCluster extends ClusterAccess {
  readonly id: ClusterId
  readonly region: RegionId
  /** Bytes of tenant data that the cluster may hold; null: not limited. */
  readonly capacityBytes: number | null
}

export interface NewDataDatabase {
  readonly clusterId: ClusterId
  readonly name: string
}

export type TopologyCatalog = ReturnType<typeof createTopology>

/** Where data may be. Registering what is registered already brings it up to date. */
export function createTopology(database: CatalogDatabase) {
  return {
    async registerRegion(region: Region): Promise<void> {
      await database.run(
        `insert into catalog.regions (id, jurisdiction, name) values ($1, $2, $3)
         on conflict (id) do update set jurisdiction = excluded.jurisdiction, name = excluded.name`,
        [region.id, region.jurisdiction, region.name],
      )
    },

    async registerTier(tier: Tier): Promise<void> {
      await database.run(
        `insert into catalog.tiers (id, name, isolation) values ($1, $2, $3)
         on conflict (id) do update set name = excluded.name, isolation = excluded.isolation`,
        [tier.id, tier.name, tier.isolation],
      )
    },

    /** @throws FreeholdError `region_not_found` */
    async registerCluster(cluster: NewCluster): Promise<void> {
      const registered = await database.run(
        `insert into catalog.clusters (id, region_id, jurisdiction, host, port, tls,
           owner_secret, mover_secret, app_secret, capacity_bytes)
         select $1, regions.id, regions.jurisdiction, $3, $4, $5, $6, $7, $8, $9
         from catalog.regions where regions.id = $2
         on conflict (id) do update set region_id = excluded.region_id, jurisdiction = excluded.jurisdiction,
           host = excluded.host, port = excluded.port, tls = excluded.tls,
           owner_secret = excluded.owner_secret, mover_secret = excluded.mover_secret,
           app_secret = excluded.app_secret, capacity_bytes = excluded.capacity_bytes`,
        [
          cluster.id,
          cluster.region,
          cluster.host,
          cluster.port,
          cluster.tls,
          cluster.ownerSecret,
          cluster.moverSecret,
          cluster.appSecret,
          cluster.capacityBytes,
        ],
      )
      if (registered === 0) throw regionNotFound(cluster.region)
    },

    /** Sets how many moves from and to a cluster may be under way. @throws FreeholdError `cluster_not_found` */
    async limitMoves(id: ClusterId, maxMoves: number): Promise<void> {
      const changed = await database.run('update catalog.clusters set max_moves = $2 where id = $1', [
        id,
        maxMoves,
      ])
      if (changed === 0) throw unknownCluster(id)
    },

    /** Registers a database that takes many tenants; safe to repeat. @throws FreeholdError `target_not_found` */
    registerPool: (pool: NewDataDatabase): Promise<DataDatabaseId> => register(database, pool, 'pool'),

    /** Registers a database for one tenant; safe to repeat. @throws FreeholdError `target_not_found` */
    registerSilo: (silo: NewDataDatabase): Promise<DataDatabaseId> => register(database, silo, 'silo'),

    /**
     * A registered pool.
     *
     * @throws FreeholdError `pool_not_found`
     */
    async pool({ clusterId, name }: NewDataDatabase): Promise<DataDatabaseRecord> {
      const found = await database.first(
        dataDatabaseRow,
        `select ${DATA_DATABASE_COLUMNS} from catalog.data_databases
         where cluster_id = $1 and name = $2 and kind = 'pool' and dropped_at is null`,
        [clusterId, name],
      )
      if (found !== undefined) return found
      throw new FreeholdError('pool_not_found', `Cluster ${clusterId} has no pool ${name}.`, {
        details: { cluster: clusterId, database: name },
      })
    },

    /**
     * The pools of some clusters, the one registered last first: registering a further pool is how an operator says that the
     * others are full.
     */
    pools: (clusters: readonly ClusterId[]): Promise<DataDatabaseRecord[]> =>
      database.all(
        dataDatabaseRow,
        `select ${DATA_DATABASE_COLUMNS} from catalog.data_databases
         where cluster_id = any ($1) and kind = 'pool' and dropped_at is null order by created_at desc, id`,
        [clusters],
      ),

    /** Records that a data database is gone. What the history of placements names is kept, as dropped; safe to repeat. */
    async removeDataDatabase(id: DataDatabaseId): Promise<void> {
      await database.run(
        `delete from catalog.data_databases where id = $1
           and not exists (select from catalog.placements where data_database_id = data_databases.id)`,
        [id],
      )
      await database.run(
        'update catalog.data_databases set dropped_at = clock_timestamp() where id = $1 and dropped_at is null',
        [id],
      )
    },

    /** @throws FreeholdError `cluster_not_found` */
    async known(id: ClusterId): Promise<ClusterRecord> {
      const found = await findCluster(database, id)
      if (found === undefined) throw unknownCluster(id)
      return found
    },

    /** @throws FreeholdError `target_not_found` */
    cluster: (id: ClusterId): Promise<ClusterRecord> => readCluster(database, id),

    /**
     * The clusters of a region that could take a silo, the least used one first.
     *
     * @throws FreeholdError `region_not_found`, or `target_not_found` when the region has no cluster.
     */
    async clustersIn(region: RegionId): Promise<ClusterRecord[]> {
      const found = await database.all(
        clusterRow,
        `select ${CLUSTER_COLUMNS} from catalog.clusters
         where clusters.region_id = $1 and draining_since is null
         order by (select count(*) from catalog.data_databases where cluster_id = clusters.id and dropped_at is null), clusters.id`,
        [region],
      )
      if (found.length > 0) return found
      await requireRegion(database, region)
      throw new FreeholdError('target_not_found', `Region ${region} has no cluster that takes moves.`, {
        details: { region },
      })
    },

    /** What there is, for people; no addresses and no secrets. */
    async read(): Promise<Topology> {
      const [regions, clusters, tiers] = await Promise.all([
        database.all(regionSchema, 'select id, jurisdiction, name from catalog.regions order by id'),
        database.all(
          clusterSchema.extend({
            capacityBytes: bigintRow.nullable(),
            silos: bigintRow,
            movesUnderWay: bigintRow,
            drainingSince: instantRow.nullable(),
          }),
          `select clusters.id, region_id as region, clusters.jurisdiction, capacity_bytes as "capacityBytes",
             coalesce(array_agg(data_databases.name order by data_databases.created_at desc, data_databases.id)
               filter (where kind = 'pool'), '{}') as pools,
             count(data_databases.id) filter (where kind = 'silo') as silos,
             max_moves as "maxMoves", draining_since as "drainingSince",
             (select count(*) from catalog.moves_on_clusters where begun and cluster_id = clusters.id)
               as "movesUnderWay"
           from catalog.clusters
           left join catalog.data_databases on data_databases.cluster_id = clusters.id and dropped_at is null
           group by clusters.id order by clusters.id`,
        ),
        database.all(tierSchema, 'select id, name, isolation from catalog.tiers order by id'),
      ])
      return { regions, clusters, tiers }
    },
  }
}

/** @throws FreeholdError `target_not_found` */
export async function readCluster(queries: Queries, id: ClusterId): Promise<ClusterRecord> {
  const found = await findCluster(queries, id)
  if (found === undefined) throw clusterNotFound(id)
  return found
}

function findCluster(queries: Queries, id: ClusterId): Promise<ClusterRecord | undefined> {
  return queries.first(clusterRow, `select ${CLUSTER_COLUMNS} from catalog.clusters where clusters.id = $1`, [
    id,
  ])
}

/**
 * The pool in which new tenants of a region start: the one registered last, because registering a further pool
 * is how an operator says that the others are full.
 *
 * @throws FreeholdError `region_not_found` or `pool_not_found`.
 */
export async function choosePool(queries: Queries, region: RegionId): Promise<DataDatabaseRecord> {
  const pool = await queries.first(
    dataDatabaseRow,
    `select data_databases.id, cluster_id as "clusterId", data_databases.jurisdiction, name, kind
     from catalog.data_databases join catalog.clusters on clusters.id = cluster_id
     where region_id = $1 and kind = 'pool' and dropped_at is null and draining_since is null
     order by data_databases.created_at desc, data_databases.id limit 1`,
    [region],
  )
  if (pool !== undefined) return pool
  await requireRegion(queries, region)
  throw new FreeholdError('pool_not_found', `Region ${region} has no pool.`, { details: { region } })
}

async function register(
  database: CatalogDatabase,
  { clusterId, name }: NewDataDatabase,
  kind: 'pool' | 'silo',
): Promise<DataDatabaseId> {
  await database.run(
    `insert into catalog.data_databases (cluster_id, jurisdiction, name, kind)
     select id, jurisdiction, $2, $3 from catalog.clusters where id = $1
     on conflict on constraint database_names_are_unique_on_a_cluster do nothing`,
    [clusterId, name, kind],
  )
  const registered = await database.first(
    dataDatabaseRow,
    `select ${DATA_DATABASE_COLUMNS} from catalog.data_databases where cluster_id = $1 and name = $2`,
    [clusterId, name],
  )
  if (registered === undefined) throw clusterNotFound(clusterId)
  if (registered.kind !== kind) {
    throw new FreeholdError('internal', `Database ${name} on ${clusterId} is a ${registered.kind}.`)
  }
  return registered.id
}

/** @throws FreeholdError `region_not_found` */
export async function requireRegion(queries: Queries, region: RegionId): Promise<void> {
  const found = await queries.first(z.object({}), 'select from catalog.regions where id = $1', [region])
  if (found === undefined) throw regionNotFound(region)
}

/** The answer to whoever asks about a cluster itself. */
export function unknownCluster(cluster: ClusterId): FreeholdError {
  return new FreeholdError('cluster_not_found', `There is no cluster ${cluster}.`, { details: { cluster } })
}

function regionNotFound(region: RegionId): FreeholdError {
  return new FreeholdError('region_not_found', `There is no region ${region}.`, { details: { region } })
}

/** The answer to whoever names a cluster as the place for a tenant. */
export function clusterNotFound(cluster: ClusterId): FreeholdError {
  return new FreeholdError('target_not_found', `There is no cluster ${cluster}.`, { details: { cluster } })
}
