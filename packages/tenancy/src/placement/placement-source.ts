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

/** A tenant whose route may have changed, or `'all'` when changes may have been missed, as after a reconnect. */
export type PlacementChange = { readonly tenantId: TenantId } | 'all'

export type PlacementListener = (change: PlacementChange) => void

/**
 * What the router needs to know about placements; the catalog implements it. Changes make the router quick to
 * follow a move; it is right without them, because the data database refuses whoever comes with an old epoch.
 */
export interface PlacementSource {
  /** @returns the tenant's route, or null when there is no such tenant. */
  lookup(tenantId: TenantId): Promise<Route | null>
  /** Calls the listener at every change. @returns how to stop that. */
  subscribe(listener: PlacementListener): Promise<() => Promise<void>>
}
