import type { Catalog, MoveTerms } from '@freehold/catalog'
import {
  type ChangeStreamChoice,
  createTenantSchema,
  type Move,
  type MoveDetail,
  type MoveTarget,
  moveTargetSchema,
  type OperationId,
  type Placement,
  type Tenant,
  type TenantId,
} from '@freehold/contract'
import {
  admitResident,
  defaultMoveSettings,
  Engine,
  type EngineOptions,
  type MoveSettings,
  planMove,
  startMove,
} from '@freehold/engine'
import type { PostgresVersion } from '@freehold/local'
import { deriveEntryKey, withClient } from '@freehold/postgres'
import {
  openTestCatalog,
  type PreparedCluster,
  registerTestCluster,
  startPreparedCluster,
} from './control-plane.ts'
import { asSuperuser, createDataDatabase, migrationsFolder } from './databases.ts'
import { endOfMove } from './end-of-move.ts'
import { patiently } from './patiently.ts'

export const TEST_ENTRY_SECRET = 'an entry secret of the tests, long enough to be one'

/** Two clusters in two regions, each with a pool, a catalog, and tenants that can move. */
export interface MovingGround {
  readonly us: PreparedCluster
  readonly eu: PreparedCluster
  readonly catalog: Catalog
  /** An engine that does nothing by itself until it is nudged or started. */
  engine(
    options?: Partial<Omit<EngineOptions, 'settings'>> & { readonly settings?: Partial<MoveSettings> },
  ): Engine
  /** A tenant in the pool of `us`, with this many customers; of the tier `free` unless told otherwise. */
  tenant(slug: string, customers: number, residency?: string, tier?: string): Promise<Tenant>
  /** Plans a move to a silo in a region (`eu` unless named), or elsewhere, and records it; nobody works on it yet. */
  startMove(
    tenant: Tenant,
    to?: string | MoveTarget,
    changeStream?: ChangeStreamChoice,
    terms?: MoveTerms,
    rollbackWindowSeconds?: number,
  ): Promise<Move>
  /** Waits until the move has ended. */
  ended(id: OperationId, standstillMs?: number): Promise<MoveDetail>
  /** Waits until this holds of the move, or it has ended. */
  endedOr(id: OperationId, holds: (move: MoveDetail) => boolean, standstillMs?: number): Promise<MoveDetail>
  remove(): Promise<void>
}

export interface MovingGroundOptions {
  /** Settings of the server `us`. */
  readonly usSettings?: Readonly<Record<string, string>>
  /** Settings of the server `eu`. */
  readonly euSettings?: Readonly<Record<string, string>>
  /** The major versions of the servers. */
  readonly versions?: { readonly us: PostgresVersion; readonly eu: PostgresVersion }
  /** The cluster of the catalog; `us` unless told otherwise. Whoever brings it removes it. */
  readonly control?: PreparedCluster
  /** @returns the port at which the catalog says that a cluster listens: a proxy's, if not its own. */
  readonly portOf?: (on: PreparedCluster) => Promise<number>
}

export async function prepareMovingGround(options: MovingGroundOptions = {}): Promise<MovingGround> {
  const [us, eu] = await Promise.all([
    startPreparedCluster('us', options.usSettings, options.versions?.us),
    startPreparedCluster('eu', options.euSettings, options.versions?.eu),
  ])
  const { control = us, portOf = async (on) => on.cluster.port } = options
  const catalog = await openTestCatalog(control)
  await Promise.all([
    createDataDatabase(us.cluster, us.passwords, 'pool'),
    createDataDatabase(eu.cluster, eu.passwords, 'pool'),
  ])
  await registerTestCluster(catalog, us, 'us', { port: await portOf(us) })
  await registerTestCluster(catalog, eu, 'eu', { port: await portOf(eu) })
  const engines: Engine[] = []
  const endedOr: MovingGround['endedOr'] = async (id, holds, standstillMs) => {
    const move = await endOfMove(() => catalog.moves.detail(id), { holds, standstillMs })
    if (move.finishedAt !== null || holds(move)) return move
    throw new Error(`the move is still in ${move.phase}: ${JSON.stringify(move.events, null, 1)}`)
  }

  return {
    us,
    eu,
    catalog,
    engine(options = {}) {
      const { settings, ...rest } = options
      const engine = new Engine({
        catalog,
        logger: { info: () => undefined, warn: () => undefined },
        owner: `engine-${engines.length}`,
        leaseMs: 2_000,
        pollMs: 100,
        concurrency: 4,
        ...rest,
        settings: {
          ...defaultMoveSettings,
          entrySecret: TEST_ENTRY_SECRET,
          migrations: { freehold: migrationsFolder('data'), product: migrationsFolder('product') },
          ...settings,
        },
      })
      engines.push(engine)
      return engine
    },
    async tenant(slug, customers, residency, tier) {
      const { tenant } = await catalog.tenants.create(
        createTenantSchema.parse({ slug, name: slug, region: 'us', residency, tier }),
        (id, placement) => admit(us, id, placement),
      )
      await fill(us, tenant, customers)
      return tenant
    },
    async startMove(tenant, to = 'eu', changeStream = 'auto', terms = {}, rollbackWindowSeconds = 0) {
      const prepared = await patiently(() =>
        planMove(catalog, {
          tenantIdOrSlug: tenant.id,
          target: typeof to === 'string' ? moveTargetSchema.parse({ isolation: 'silo', region: to }) : to,
          changeStream,
          rollbackWindowSeconds,
          repair: terms.repair,
          entrySecret: TEST_ENTRY_SECRET,
        }),
      )
      return startMove(catalog, prepared, { createdBy: 'test', terms })
    },
    ended: (id, standstillMs) => endedOr(id, () => false, standstillMs),
    endedOr,
    async remove() {
      await Promise.all(engines.map((engine) => engine.stop()))
      await catalog.close()
      await Promise.all([us.cluster.remove(), eu.cluster.remove()])
    },
  }
}

/** Customers with orders, lines and events, so that every kind of table has rows. */
async function fill(on: PreparedCluster, tenant: Tenant, customers: number): Promise<void> {
  await withClient(asSuperuser(on.cluster, 'pool'), 'test', async (client) => {
    await client.query(
      `insert into customers (tenant_id, email, name, address, labels)
       select $1, 'c' || n || '@example.test', 'Customer ' || n, jsonb_build_object('n', n), array['a', null, 'b' || n]
       from generate_series(1, $2::int) n`,
      [tenant.id, customers],
    )
    await client.query(
      `insert into products (tenant_id, sku, name, currency, price, stock)
       select $1, 'sku-' || n, 'Product ' || n, 'EUR', n * 1.10, n from generate_series(1, $2::int / 10) n`,
      [tenant.id, customers],
    )
    await client.query(
      `insert into orders (tenant_id, customer_id, currency, total, reference)
       select tenant_id, id, 'EUR', 0, 'order of ' || name from customers where tenant_id = $1`,
      [tenant.id],
    )
    await client.query(
      `insert into order_lines (tenant_id, order_id, line_number, product_id, sku, quantity, unit_price)
       select orders.tenant_id, orders.id, 1, products.id, products.sku, 2, products.price
       from orders cross join lateral (
         select * from products where products.tenant_id = orders.tenant_id order by id limit 1) products
       where orders.tenant_id = $1`,
      [tenant.id],
    )
    await client.query(
      `insert into order_events (tenant_id, order_id, kind, actor, occurred_at)
       select tenant_id, id, 'placed', 'test', timestamptz '2026-10-15' + random() * interval '70 days'
       from orders where tenant_id = $1`,
      [tenant.id],
    )
  })
}

async function admit(on: PreparedCluster, tenantId: TenantId, placement: Placement): Promise<void> {
  const { epoch, dataDatabaseId } = placement
  const entryKey = deriveEntryKey(TEST_ENTRY_SECRET, { tenantId, dataDatabaseId, epoch })
  await withClient(on.as('freehold_mover', placement.database), 'test', (client) =>
    admitResident(client, { tenantId, epoch, entryKey }),
  )
}
