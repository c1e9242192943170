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
import { parseCursor } from './pages.ts'
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

/** Where a tenant that is being moved will live next, and how to reach it as the product's role. */
export type ComingHome = Omit<Route, 'tenantId' | 'slug' | 'status' | 'tier'>

const comingHomeRow = routeRow.omit({ tenantId: true, slug: true, status: true, tier: true })

const HOME = `epoch, isolation, schema_name as schema, data_database_id as "dataDatabaseId", region_id as region,
    database_name as database, host, port, tls, app_secret as "appSecret"`

const SELECT_ROUTES = `
  select tenant_id as "tenantId", slug, status, tier_id as tier, ${HOME},
    to_char(since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as since
  from catalog.routes`

/** The moment as text, because a Date has no microseconds. */
const listedRouteRow = routeRow.extend({ since: z.string() })

/** Where a page ends: since when its last tenant has been at home there, and the tenant. */
const positionSchema = z
  .string()
  .transform((text) => text.split(' '))
  .pipe(z.tuple([z.iso.datetime(), tenantIdSchema]))

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
  /** @returns where the tenant will live next; null when it is not being moved. @throws FreeholdError `catalog_unavailable` */
  comingHome(tenantId: TenantId): Promise<ComingHome | null>
  /**
   * Tells of routes that may have changed (to a home of the epoch `homeSince`, if that is known) or are about to (`coming`), and of
   * homes that take writes after a move (`openSince` their epoch); `'all'` after an interruption. Listening has begun when the promise is fulfilled, unless the control database was away;
   * then it begins later, with `'all'`.
   *
   * @returns ends the subscription.
   */
  subscribe(
    listener: (
      change:
        | {
            readonly tenantId: TenantId
            readonly coming?: true
            readonly homeSince?: Epoch
            readonly openSince?: Epoch
          }
        | 'all',
    ) => void,
  ): Promise<() => Promise<void>>
  /**
   * A page of all routes, the newest homes first: who has just come or moved is the likeliest to be at work. One
   * query, which costs the same for every page. A tenant that moves meanwhile may come twice or not at all.
   *
   * @param after `next` of the page before.
   * @throws FreeholdError `catalog_unavailable`; `invalid_request` when `after` is nothing that this has returned.
   */
  page(
    after: string | undefined,
    limit: number,
  ): Promise<{ readonly routes: readonly Route[]; readonly next: string | undefined }>
  close(): Promise<void>
}

/** The read side of the catalog, as a router needs it. */
export function createRouteSource({ address, applicationName, max = 4 }: RouteSourceOptions): RouteSource {
  const database = openCatalogDatabase(address, applicationName, max)
  const announcements = createAnnouncements(address, applicationName, database)
  return {
    async lookup(tenantId) {
      const found = await database.first(routeRow, `${SELECT_ROUTES} where tenant_id = $1`, [tenantId])
      return found === undefined ? null : addressed(found, appAddress)
    },

    async comingHome(tenantId) {
      const found = await database.first(
        comingHomeRow,
        `select ${HOME} from catalog.coming_homes where tenant_id = $1`,
        [tenantId],
      )
      return found === undefined ? null : addressed(found, appAddress)
    },

    async page(after, limit) {
      const [since, tenantId] = parseCursor(positionSchema, after) ?? [null, null]
      const found = await database.all(
        listedRouteRow,
        `${SELECT_ROUTES}
         where $1::timestamptz is null or since <= $1 and (since, tenant_id) < ($1, $2)
         order by catalog.routes.since desc, tenant_id desc limit $3`,
        [since, tenantId, limit],
      )
      const addressOf = rememberingAddress()
      const routes = await Promise.allSettled(found.map(({ since: _, ...row }) => addressed(row, addressOf)))
      const last = found.length < limit ? undefined : found.at(-1)
      return {
        // A cluster whose secret cannot be read is reported to those who look up its tenants.
        routes: routes.flatMap((route) => (route.status === 'fulfilled' ? [route.value] : [])),
        next: last && `${last.since} ${last.tenantId}`,
      }
    },

    async subscribe(listener) {
      const unsubscribe = await announcements.subscribe((announcement) => {
        const { kind } = announcement
        if (kind === 'placement') {
          const { tenantId, epoch } = announcement
          listener(epoch === undefined ? { tenantId } : { tenantId, homeSince: epoch })
        }
        if (kind === 'coming') listener({ tenantId: announcement.tenantId, coming: true })
        if (kind === 'open') listener({ tenantId: announcement.tenantId, openSince: announcement.epoch })
        if (kind === 'all') listener('all')
      })
      return async () => unsubscribe()
    },

    async close() {
      await announcements.close()
      await database.close()
    },
  }
}

type AddressOf = typeof appAddress

async function addressed<R extends z.output<typeof comingHomeRow>>(row: R, addressOf: AddressOf) {
  const { database, host, port, tls, appSecret, ...place } = row
  return { ...place, address: await addressOf({ host, port, tls, appSecret }, database) }
}

/** Reads the secret of a database once, and not once a tenant. */
function rememberingAddress(): AddressOf {
  const addresses = new Map<string, ReturnType<AddressOf>>()
  return (cluster, database) => {
    const key = JSON.stringify([cluster.host, cluster.port, cluster.tls, cluster.appSecret, database])
    const known = addresses.get(key) ?? appAddress(cluster, database)
    addresses.set(key, known)
    return known
  }
}
