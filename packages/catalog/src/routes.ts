import {
  type DataDatabaseId,
  dataDatabaseIdSchema,
  type Epoch,
  type Isolation,
  isolationSchema,
  type RegionId,
  regionIdSchema,
  type Slug,
  slugSchema,
  type TenantId,
  type TenantStatus,
  type TierId,
  tenantIdSchema,
  tenantStatusSchema,
  tierIdSchema,
} from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import { z } from 'zod'
import { appAddress } from './addresses.ts'
import { createAnnouncements } from './announcements.ts'
import { openCatalogDatabase } from './database.ts'
import { epochRow } from './rows.ts'

/** A tenant's home and how to reach it as the product's role. */
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
  readonly address: DatabaseAddress
}

const routeRow = z.object({
  tenantId: tenantIdSchema,
  slug: slugSchema,
  status: tenantStatusSchema,
  tier: tierIdSchema,
  epoch: epochRow,
  isolation: isolationSchema,
  schema: z.string(),
  dataDatabaseId: dataDatabaseIdSchema,
  region: regionIdSchema,
  database: z.string(),
  host: z.string(),
  port: z.int(),
  tls: z.enum(['disable', 'require', 'verify-full']),
  appSecret: z.string(),
})

export interface RouteSourceOptions {
  /** The control database as freehold_reader, who sees routes and nothing else. */
  readonly address: DatabaseAddress
  readonly applicationName: string
  /** Connections for lookups. */
  readonly max?: number
}

export interface RouteSource {
  /** @returns null when there is no such tenant. @throws FreeholdError `catalog_unavailable` */
  lookup(tenantId: TenantId): Promise<Route | null>
  /**
   * Tells of routes that may have changed; `'all'` after an interruption. Listening has begun when the promise
   * is fulfilled, unless the control database was away; then it begins later, with `'all'`.
   *
   * @returns ends the subscription.
   */
  subscribe(listener: (change: { readonly tenantId: TenantId } | 'all') => void): Promise<() => Promise<void>>
  close(): Promise<void>
}

/** The read side of the catalog, as a router needs it. */
export function createRouteSource({ address, applicationName, max = 4 }: RouteSourceOptions): RouteSource {
  const database = openCatalogDatabase(address, applicationName, max)
  const announcements = createAnnouncements(address, applicationName, database)
  return {
    async lookup(tenantId) {
      const found = await database.first(
        routeRow,
        `select tenant_id as "tenantId", slug, status, tier_id as tier, epoch, isolation, schema_name as schema,
           data_database_id as "dataDatabaseId", region_id as region, database_name as database,
           host, port, tls, app_secret as "appSecret"
         from catalog.routes where tenant_id = $1`,
        [tenantId],
      )
      if (found === undefined) return null
      const { database: name, host, port, tls, appSecret, ...route } = found
      return { ...route, address: await appAddress({ host, port, tls, appSecret }, name) }
    },

    async subscribe(listener) {
      const unsubscribe = await announcements.subscribe((announcement) => {
        if (announcement.kind === 'placement') listener({ tenantId: announcement.tenantId })
        if (announcement.kind === 'all') listener('all')
      })
      return async () => unsubscribe()
    },

    async close() {
      await announcements.close()
      await database.close()
    },
  }
}
