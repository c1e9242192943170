import {
  canonicalTenantId,
  type DataDatabaseId,
  type Epoch,
  FreeholdError,
  type TenantId,
  tenantIdSchema,
} from '@freehold/contract'
import { RecentMap } from '@freehold/postgres'
import { Kysely } from 'kysely'
import { type DatabaseConnections, DatabasePools } from './connections/database-pools.ts'
import type { FreeholdDatabase } from './context/tenant-context.ts'
import { Entering } from './entry/entering.ts'
import { Holds } from './entry/holds.ts'
import { TenantDialect } from './entry/tenant-dialect.ts'
import { throughPooler } from './entry/through-pooler.ts'
import type { RouterMetrics } from './metrics/router-metrics.ts'
import type { Tenant } from './placement/placement.ts'
import { PlacementCache } from './placement/placement-cache.ts'
import type { PlacementChange, PlacementSource } from './placement/placement-source.ts'
import { Subscription } from './placement/subscription.ts'
import { WarmStart } from './placement/warm-start.ts'
import { TableCatalog } from './predicates/declared-tables.ts'
import { TenantPredicates } from './predicates/tenant-predicates.ts'
import { parseRouterOptions, type RouterLimits, type RouterOptions } from './router-options.ts'

const MAX_INSTANCES = 10_000
const MAX_SWITCHING = 1_000
/** How long a tenant that is announced to be moved is expected to be: longer than until the next such announcement. */
const SWITCHING_MS = 10_000

/**
 * Hands product code the database of a tenant.
 *
 * @typeParam DB the product's tables, as for `Kysely<DB>`; those merged into {@link FreeholdDatabase} unless named.
 */
export interface Router<DB = FreeholdDatabase> {
  /**
   * The tenant's Kysely instance. It belongs to the tenant and not to a database: it may be kept for ever, and
   * follows the tenant through every move. Everything run with it is entered as the tenant, and the data database
   * shows it no other tenant's rows. Destroying it closes nothing that is shared.
   *
   * Statements fail with FreeholdError `tenant_not_found`, `tenant_suspended`, `tenant_held`, `not_resident`,
   * `database_unavailable`, `unsafe_role`, `connection_budget_exhausted`, `catalog_unavailable` (nothing was done),
   * `outcome_unknown`, `transaction_lost`, or with the `DatabaseError` of `pg` when the statement itself is wrong.
   *
   * @throws FreeholdError `invalid_request` when the id is not a tenant's id.
   * @example
   * ```ts
   * const db = router.forTenant('0197a3b0-7a5c-7c3e-9d52-0d7a3c1f2b4e')
   * const orders = await db.selectFrom('orders').selectAll().execute()
   * ```
   */
  forTenant(tenantId: string): Kysely<DB>

  /**
   * What product code may know about a tenant.
   *
   * @throws FreeholdError `invalid_request`, `tenant_not_found`, `tenant_suspended` or `catalog_unavailable`.
   */
  tenant(tenantId: string): Promise<Tenant>

  /**
   * Fulfilled when the warm start is through or has failed, and at once when none is asked for. Requests need not
   * wait for it: those whose tenant is not loaded yet ask the catalog.
   */
  ready(): Promise<void>

  /** Connections to each data database in use, by its id: for health checks and tests. */
  connections(): ReadonlyMap<DataDatabaseId, DatabaseConnections>

  /** What the router does and has done, for `@freehold/tenancy/metrics` or whatever else measures. */
  metrics(): RouterMetrics

  /** Lets work under way finish, takes no more, and closes every connection. */
  close(): Promise<void>
}

/**
 * Creates the router of a process. One is enough; it opens connections as they are needed.
 *
 * @throws FreeholdError `config_invalid`.
 * @example
 * ```ts
 * const router = createRouter({ source: catalog, entrySecret: config.FREEHOLD_ENTRY_SECRET })
 * ```
 */
export function createRouter<DB = FreeholdDatabase>(options: RouterOptions): Router<DB> {
  return new TenantRouter<DB>(options)
}

class TenantRouter<DB> implements Router<DB> {
  readonly #limits: RouterLimits
  readonly #kysely: NonNullable<RouterOptions['kysely']>
  readonly #tables: TableCatalog | undefined
  readonly #source: PlacementSource
  readonly #placements: PlacementCache
  readonly #pools: DatabasePools
  readonly #holds = new Holds((tenantId) => this.#isSwitching(tenantId))
  readonly #entering: Entering
  readonly #subscription: Subscription
  readonly #warmStart: WarmStart
  /** Tenants that are about to be moved, and until when that is believed. */
  readonly #switching = new RecentMap<TenantId, number>(MAX_SWITCHING)
  readonly #instances = new RecentMap<string, Kysely<DB>>(MAX_INSTANCES)

  constructor(options: RouterOptions) {
    this.#limits = parseRouterOptions(options)
    const source = options.poolerAddress
      ? throughPooler(options.source, options.poolerAddress)
      : options.source
    this.#source = source
    this.#kysely = options.kysely ?? {}
    this.#tables = options.tables && new TableCatalog(options.tables)
    this.#placements = new PlacementCache(source, this.#limits.entrySecret, this.#limits.maxCachedTenants)
    this.#pools = new DatabasePools(this.#limits)
    this.#entering = new Entering(this.#placements, this.#pools, this.#holds, this.#limits)
    this.#subscription = new Subscription(source, (change) => this.#changed(change))
    this.#warmStart = new WarmStart(
      source,
      this.#placements,
      this.#limits.warmStart?.tenants,
      this.#subscription.attempted,
    )
  }

  forTenant(tenantId: string): Kysely<DB> {
    const known = this.#instances.get(tenantId)
    if (known) return known
    const id = parseTenantId(tenantId)
    const dialect = new TenantDialect(
      this.#entering,
      id,
      this.#limits,
      () => this.#instances.delete(tenantId),
      this.#tables && new TenantPredicates(this.#tables, id),
    )
    const instance = new Kysely<DB>({ ...this.#kysely, dialect })
    this.#instances.set(tenantId, instance)
    return instance
  }

  async tenant(tenantId: string): Promise<Tenant> {
    return (await this.#placements.resolve(parseTenantId(tenantId))).tenant
  }

  ready(): Promise<void> {
    return this.#warmStart.finished
  }

  connections(): ReadonlyMap<DataDatabaseId, DatabaseConnections> {
    return this.#pools.databases()
  }

  metrics(): RouterMetrics {
    return {
      databases: this.#pools.databases(),
      connections: this.#pools.totals(),
      placements: this.#placements.counters(),
      warmStart: { state: this.#warmStart.state, loaded: this.#warmStart.loaded },
      heldTenants: this.#holds.size,
    }
  }

  async close(): Promise<void> {
    this.#warmStart.stop()
    await Promise.all([this.#pools.close(), this.#subscription.close()])
  }

  #changed(change: PlacementChange): void {
    if (change !== 'all' && change.coming) this.#expectSwitch(change.tenantId)
    else if (change !== 'all' && change.openSince !== undefined)
      this.#letOn(change.tenantId, change.openSince)
    else if (!this.#hasFollowed(change)) this.#lookAnew(change)
  }

  /** Readers go on at the new home if it is the one that was expected. Writers are told when they may. */
  #hasFollowed(change: PlacementChange): boolean {
    if (change === 'all' || change.homeSince === undefined || !this.#isSwitching(change.tenantId))
      return false
    return this.#placements.arrived(change.tenantId, change.homeSince)
  }

  #lookAnew(change: PlacementChange): void {
    if (change !== 'all' && this.#isSwitching(change.tenantId)) this.#placements.refresh(change.tenantId)
    else this.#placements.invalidate(change)
    this.#holds.wake(change)
  }

  #isSwitching(tenantId: TenantId): boolean {
    return performance.now() < (this.#switching.get(tenantId) ?? 0)
  }

  #expectSwitch(tenantId: TenantId): void {
    if (!this.#placements.isKnown(tenantId)) return
    const until = performance.now() + SWITCHING_MS
    this.#switching.set(tenantId, until)
    // Where it was to come may have been the end of another move, which came to nothing; the next begins with the same epoch.
    this.#placements.expect(tenantId, undefined)
    void this.#prepareFor(tenantId, until)
  }

  /** Whoever was not told where the tenant is coming knows it all the same, because that its home has changed was announced before. */
  #letOn(tenantId: TenantId, openSince: Epoch): void {
    this.#switching.delete(tenantId)
    if (!this.#placements.arrived(tenantId, openSince)) this.#placements.invalidate({ tenantId })
    this.#holds.open(tenantId)
  }

  /** Whoever hears of it too late, or cannot connect, does so when the tenant has come. */
  async #prepareFor(tenantId: TenantId, until: number): Promise<void> {
    try {
      const coming = await this.#source.comingHome?.(tenantId)
      const isOvertaken = this.#switching.get(tenantId) !== until
      if (!coming || isOvertaken) return
      this.#placements.expect(tenantId, coming)
      await this.#pools.warm(coming)
    } catch {
      // The catalog does not answer.
    }
  }
}

function parseTenantId(tenantId: string): TenantId {
  const parsed = tenantIdSchema.safeParse(canonicalTenantId(tenantId))
  if (parsed.success) return parsed.data
  throw new FreeholdError('invalid_request', 'That is not a tenant id.', {
    issues: [{ path: 'tenantId', message: parsed.error.issues[0]?.message ?? 'is not valid' }],
  })
}
