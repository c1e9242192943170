import type {
  DataDatabaseId,
  Epoch,
  Isolation,
  RegionId,
  Slug,
  TenantId,
  TenantStatus,
  TierId,
} from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'

/** Where a tenant lives now, and as whom the router connects there. */
export interface Route {
  readonly tenantId: TenantId
  readonly slug: Slug
  readonly status: TenantStatus
  readonly tier: TierId
  readonly epoch: Epoch
  readonly isolation: Isolation
  readonly schema: string
  readonly dataDatabaseId: DataDatabaseId
  readonly region: RegionId
  /** As the application's role, which owns nothing and cannot bypass row security. */
  readonly address: DatabaseAddress
}

/** Where a tenant may live next; what else is said of it stays as it is. */
export type ComingHome = Omit<Route, 'tenantId' | 'slug' | 'status' | 'tier'>

/**
 * A tenant whose route may have changed (`homeSince`: to a home of this epoch), or is about to (`coming`), or whose home of an epoch
 * takes its writes after a move (`openSince`); `'all'` when changes may have been missed, as after a reconnect.
 */
export type PlacementChange =
  | {
      readonly tenantId: TenantId
      readonly coming?: true
      readonly homeSince?: Epoch
      readonly openSince?: Epoch
    }
  | 'all'

export type PlacementListener = (change: PlacementChange) => void

/** A part of the routes, in the source's order. */
export interface RoutePage {
  readonly routes: readonly Route[]
  /** Where the next page begins; undefined when this is the last. */
  readonly next: string | undefined
}

/**
 * What the router needs to know about placements; the catalog implements it. Changes make the router quick to
 * follow a move; it is right without them, because the data database refuses whoever comes with an old epoch.
 */
export interface PlacementSource {
  /** @returns the tenant's route, or null when there is no such tenant. */
  lookup(tenantId: TenantId): Promise<Route | null>
  /** Calls the listener at every change. @returns how to stop that. */
  subscribe(listener: PlacementListener): Promise<() => Promise<void>>
  /**
   * Where a tenant whose change was announced as `coming` is about to live. Nothing is decided by it: a router connects
   * there beforehand, and enters there, without asking, once it has heard that the tenant has come or is refused where it
   * was; before that, the data database admits nobody. A source whose tenants do not move leaves it out.
   */
  comingHome?(tenantId: TenantId): Promise<ComingHome | null>
  /**
   * Pages through the routes, those first that are most likely to be needed, as far as the source can tell. A source
   * that cannot leaves this out; then there is no warm start.
   *
   * @param after `next` of the page before; undefined for the first.
   * @param limit how many routes to return at most.
   */
  page?(after: string | undefined, limit: number): Promise<RoutePage>
}
