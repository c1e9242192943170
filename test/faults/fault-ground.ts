import type { MoveDetail, Tenant } from '@freehold/contract'
import {
  type DatabaseAddress,
  formatDatabaseUrl,
  hasSqlState,
  isConnectionError,
  quoteIdentifier,
  SQLSTATE,
  withClient,
} from '@freehold/postgres'
import type pg from 'pg'
import { type PreparedCluster, startPreparedCluster } from '../kit/control-plane.ts'
import { type CuttableProxy, startCuttableProxy } from '../kit/cuttable-proxy.ts'
import { asSuperuser } from '../kit/databases.ts'
import { endOfMove } from '../kit/end-of-move.ts'
import { moveTraces } from '../kit/move-traces.ts'
import { type MovingGround, prepareMovingGround, TEST_ENTRY_SECRET } from '../kit/moving-ground.ts'
import { startTestRedis, type TestRedis } from '../kit/redis.ts'
import { contentAt, copyOfTenant } from '../kit/tenant-places.ts'
import { type Ledger, startTenantWriter } from '../kit/tenant-writer.ts'
import { WorkerProcess } from './worker-process.ts'

/** How long the worker's fences last at most, ms. */
export const FENCE_EXPIRY_MS = 2_000
/** Long enough that a worker which is only slow keeps it; of one that was killed it is expired. */
const LEASE_MS = 3_000
const NEIGHBOURS_CUSTOMERS = 20
/** A write or two at every step. More would take the processor from what is tried, the more so the slower the machine. */
const WRITES_PER_SECOND = 50

/** What the worker connects to, each a server process of its own. */
export const serverNames = ['source', 'target', 'catalog', 'queue'] as const
export type ServerName = (typeof serverNames)[number]

interface Neighbour {
  readonly tenant: Tenant
  readonly content: Readonly<Record<string, readonly string[]>>
}

interface Home {
  readonly cluster: string
  readonly database: string
  readonly schema: string
}

/** A server that can be killed and started again over what it had. */
interface Server {
  kill(): Promise<void>
  restart(): Promise<void>
}

/**
 * Two clusters, a catalog on a third, a queue in Redis, and a worker in a process of its own that reaches each of them
 * through a proxy. Everybody else, the tenants' writers among them, reaches the servers directly.
 */
export interface FaultGround extends Pick<MovingGround, 'us' | 'eu' | 'catalog' | 'tenant' | 'startMove'> {
  readonly moving: MovingGround
  readonly worker: WorkerProcess
  readonly servers: Readonly<Record<ServerName, Server>>
  /** Between the worker and each server. */
  readonly proxies: Readonly<Record<ServerName, CuttableProxy<{ host: string; port: number }>>>
  /** Writes to a tenant, wherever it lives. */
  startWriter(tenant: Tenant, ledger?: Ledger): ReturnType<typeof startTenantWriter>
  /** The cluster that the catalog knows by this name. */
  cluster(id: string): PreparedCluster
  /** What each cluster holds with no tenant in a home of its own: {@link inventory}. */
  readonly bare: ReadonlyMap<PreparedCluster, readonly string[]>
  /** Has the time of every lease passed, as it does by itself a while later. */
  expireLeases(): Promise<void>
  /** Has every move that rests be due, as it is by itself a while later; does nothing while the catalog is away. */
  endRests(): Promise<void>
  /** Has a move that nobody works on have been verified so many times. */
  countVerifications(move: Pick<MoveDetail, 'id'>, times: number): Promise<void>
  /** Tenants that are never moved, one in each pool, with rows of the same keys, and what they have. */
  readonly neighbours: readonly Neighbour[]
  /** Where every tenant lives now. */
  homes(): Promise<Home[]>
  /** Waits until the move has ended, or until it is clear that it does not; the catalog may be away meanwhile. */
  ended(move: Pick<MoveDetail, 'id'>, standstillMs?: number): Promise<MoveDetail>
  remove(): Promise<void>
}

export async function prepareFaultGround(): Promise<FaultGround> {
  const undo = new AsyncDisposableStack()
  try {
    const control = await startPreparedCluster('control')
    undo.defer(() => control.cluster.remove())
    const redis = await startTestRedis()
    undo.defer(() => redis.remove())
    const through = async (server: { host: string; port: number }) => {
      const proxy = await startCuttableProxy({ host: server.host, port: server.port })
      undo.defer(() => proxy.close())
      return proxy
    }
    const toClusters: Awaited<ReturnType<typeof through>>[] = []
    const moving = await prepareMovingGround({
      control,
      async portOf({ cluster }) {
        const proxy = await through(cluster)
        toClusters.push(proxy)
        return proxy.address.port
      },
    })
    undo.defer(() => moving.remove())
    const [source, target] = toClusters
    if (source === undefined || target === undefined) throw new Error('there are two clusters')
    const proxies = {
      source,
      target,
      catalog: await through(control.cluster),
      queue: await through({ host: '127.0.0.1', port: Number(new URL(redis.url).port) }),
    }
    const worker = await WorkerProcess.start({
      FREEHOLD_CATALOG_URL: formatDatabaseUrl({
        ...control.as('freehold_control', 'freehold_catalog'),
        ...proxies.catalog.address,
      }),
      FREEHOLD_ENTRY_SECRET: TEST_ENTRY_SECRET,
      REDIS_URL: `redis://127.0.0.1:${proxies.queue.address.port}`,
      FREEHOLD_LEASE_MS: `${LEASE_MS}`,
      FREEHOLD_POLL_MS: '100',
      FREEHOLD_FENCE_EXPIRY_MS: `${FENCE_EXPIRY_MS}`,
      FREEHOLD_SOAK_INTERVAL_MS: '200',
    })
    undo.defer(() => worker.close())
    const { us, eu } = moving
    const direct = new Map([
      [source.address.port, us.cluster.port],
      [target.address.port, eu.cluster.port],
    ])
    const bare = new Map([
      [us, await inventory(us)],
      [eu, await inventory(eu)],
    ])
    const neighbours = await settleNeighbours(moving)
    const inCatalog = <Row extends pg.QueryResultRow>(statement: string, values: readonly unknown[] = []) =>
      withClient(asSuperuser(control.cluster, 'freehold_catalog'), 'test', (client) =>
        client.query<Row>(statement, [...values]),
      )
    const ends = undo.move()
    return {
      us,
      eu,
      bare,
      cluster: (id) => (id.startsWith('us') ? us : eu),
      expireLeases: async () => {
        await inCatalog(
          'update catalog.operations set lease_expires_at = clock_timestamp() where lease_expires_at is not null',
        )
      },
      async endRests() {
        await inCatalog(
          `update catalog.operations set run_after = clock_timestamp()
           where finished_at is null and run_after > clock_timestamp()`,
        ).catch(passOverAway)
      },
      async countVerifications({ id }, times) {
        await inCatalog(
          "update catalog.operations set state = jsonb_set(state, '{verifications}', to_jsonb($2::int)) where id = $1",
          [id, times],
        )
      },
      neighbours,
      homes: async () => {
        const found = await inCatalog<Home>(
          `select cluster_id as cluster, data_databases.name as database, schema_name as schema
           from catalog.placements join catalog.data_databases on data_databases.id = data_database_id
           where until is null`,
        )
        return found.rows
      },
      catalog: moving.catalog,
      tenant: moving.tenant,
      startMove: moving.startMove,
      moving,
      worker,
      servers: {
        source: us.cluster,
        target: eu.cluster,
        catalog: control.cluster,
        queue: restartable(redis),
      },
      proxies,
      startWriter: (tenant, ledger = new Map()) =>
        startTenantWriter(control.as('freehold_reader', 'freehold_catalog'), tenant, 2, {
          ledger,
          writesPerSecond: WRITES_PER_SECOND,
          reach: (address) => ({ ...address, port: direct.get(address.port) ?? address.port }),
        }),
      ended: ({ id }, standstillMs) => endOfMove(() => moving.catalog.moves.detail(id), { standstillMs }),
      remove: () => ends.disposeAsync(),
    }
  } catch (error) {
    await undo.disposeAsync()
    throw error
  }
}

function passOverAway(error: unknown): void {
  if (!isConnectionError(error)) throw error
}

async function settleNeighbours(moving: MovingGround): Promise<Neighbour[]> {
  const original = await moving.tenant('neighbour', NEIGHBOURS_CUSTOMERS)
  const tenants = [original, await copyOfTenant(moving, original, 'eu')]
  return Promise.all(
    tenants.map(async (tenant) => ({
      tenant,
      content: await contentAt(moving, tenant.id, tenant.placement),
    })),
  )
}

function restartable(redis: TestRedis): Server {
  return { kill: () => redis.kill(), restart: () => redis.start() }
}

/** Databases, schemas, roles and slots of a cluster, and {@link moveTraces}; but not what silos are copied from, which stays. */
export async function inventory({ cluster }: PreparedCluster): Promise<string[]> {
  const found = await withClient(asSuperuser(cluster, 'postgres'), 'test', async (client) => {
    const result = await client.query<{ what: string; name: string }>(
      `select 'database' as what, datname as name from pg_database where not starts_with(datname, 'freehold_template_')
       union all select 'role', rolname from pg_roles
       union all select 'slot', slot_name from pg_replication_slots`,
    )
    return result.rows
  })
  const databases = found.filter(({ what, name }) => what === 'database' && !name.startsWith('template'))
  const within = await Promise.all(
    databases.map(({ name }) => partsOf(asSuperuser(cluster, name), name).catch(unlessDropped)),
  )
  return [...found.map(({ what, name }) => `${what} ${name}`), ...within.flat()].sort()
}

async function partsOf(superuser: DatabaseAddress, name: string): Promise<string[]> {
  const schemas = await schemasOf(superuser)
  const traces = schemas.includes('freehold') ? await moveTraces(superuser) : []
  return [
    ...schemas.map((schema) => `schema ${name}.${schema}`),
    ...traces.map((trace) => `${trace} in ${name}`),
  ]
}

/** The janitor may remove a database while it is being looked at. */
function unlessDropped(error: unknown): string[] {
  if (hasSqlState(error, SQLSTATE.invalidCatalogName)) return []
  throw error
}

async function schemasOf(superuser: DatabaseAddress): Promise<string[]> {
  return withClient(superuser, 'test', async (client) => {
    const found = await client.query<{ name: string }>(
      "select nspname as name from pg_namespace where nspname not like 'pg\\_%'",
    )
    return found.rows.map(({ name }) => name)
  })
}

/** The data databases of a cluster: those with the schema `freehold`. */
export async function dataDatabases(on: PreparedCluster): Promise<string[]> {
  const parts = await inventory(on)
  return parts.flatMap((part) => /^schema (.*)\.freehold$/.exec(part)?.[1] ?? [])
}

/** Removes a tenant's silo, so that many moves leave no more behind than one does. */
export async function dropSilo({ cluster }: PreparedCluster, database: string): Promise<void> {
  await withClient(asSuperuser(cluster, 'postgres'), 'test', (client) =>
    client.query(`drop database if exists ${quoteIdentifier(database)} with (force)`),
  )
}
