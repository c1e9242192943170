import type { DataDatabaseId } from '@freehold/contract'
import type { ConnectionTotals, DatabaseConnections } from '../connections/database-pools.ts'
import type { PlacementCounters } from '../placement/placement-cache.ts'
import type { WarmStartState } from '../placement/warm-start.ts'

/**
 * What a router does at a moment, and what it has done since it was made. Names databases and no tenant: it may be
 * published where tenants' names may not.
 */
export interface RouterMetrics {
  /** The data databases in use, by their ids. */
  readonly databases: ReadonlyMap<DataDatabaseId, DatabaseConnections>
  /** All of them together, and those no longer in use. */
  readonly connections: ConnectionTotals
  readonly placements: Readonly<PlacementCounters>
  readonly warmStart: { readonly state: WarmStartState; readonly loaded: number }
  /** Tenants whose writers wait for a cutover. */
  readonly heldTenants: number
}
