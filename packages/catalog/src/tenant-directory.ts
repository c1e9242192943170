import {
  type Host,
  memberRoleSchema,
  type Slug,
  slugSchema,
  type TenantId,
  type TenantStatus,
  tenantIdSchema,
  tenantStatusSchema,
} from '@freehold/contract'
import { z } from 'zod'
import { createAnnouncements } from './announcements.ts'
import { openCatalogDatabase } from './database.ts'
import type { RouteSource, RouteSourceOptions } from './routes.ts'

/** An API key as a router knows it: without the key. */
export interface KnownApiKey {
  readonly id: string
  readonly tenantId: TenantId
  /** SHA-256 of the whole key. */
  readonly digest: Uint8Array
  readonly scopes: readonly string[]
  readonly expiresAt: Date | null
}

/** A tenant in which somebody may act. */
export interface MemberOf {
  readonly tenantId: TenantId
  readonly slug: Slug
  readonly name: string
  readonly role: string
  readonly status: TenantStatus
}

/** What names tenants from outside, for routers. Every function fails with `catalog_unavailable` when it must. */
export interface TenantDirectory extends Pick<RouteSource, 'subscribe' | 'close'> {
  tenantOfSlug(slug: Slug): Promise<TenantId | null>
  tenantOfHost(host: Host): Promise<TenantId | null>
  /** @returns null for a key that never was or has been revoked. */
  apiKey(prefix: string): Promise<KnownApiKey | null>
  /** The tenants in which a person may act, by slug, from the one after `after` on. */
  membershipsOf(
    subject: string,
    page: { readonly after: Slug | null; readonly limit: number },
  ): Promise<readonly MemberOf[]>
  /** @param tenant id or slug. @returns null when the person is no member, or there is no such tenant. */
  membershipIn(tenant: string, subject: string): Promise<MemberOf | null>
}

const tenantIdRow = z.object({ tenantId: tenantIdSchema })

const apiKeyRow = z.object({
  id: z.uuid(),
  tenantId: tenantIdSchema,
  digest: z.instanceof(Buffer),
  scopes: z.array(z.string()),
  expiresAt: z.date().nullable(),
})

const memberRow = z.object({
  tenantId: tenantIdSchema,
  slug: slugSchema,
  name: z.string(),
  role: memberRoleSchema,
  status: tenantStatusSchema,
})

const SELECT_MEMBERS = 'select tenant_id as "tenantId", slug, name, role, status from catalog.members'

/** The names of tenants, as a router needs them, read as freehold_reader. */
export function createTenantDirectory({
  address,
  applicationName,
  max = 4,
}: RouteSourceOptions): TenantDirectory {
  const database = openCatalogDatabase(address, applicationName, max)
  const announcements = createAnnouncements(address, applicationName, database)

  async function tenantWhere(sql: string, name: string): Promise<TenantId | null> {
    const found = await database.first(tenantIdRow, `select tenant_id as "tenantId" from ${sql}`, [name])
    return found?.tenantId ?? null
  }

  return {
    tenantOfSlug: (slug) => tenantWhere('catalog.routes where slug = $1', slug),

    tenantOfHost: (host) => tenantWhere('catalog.tenant_hosts where host = $1', host),

    async apiKey(prefix) {
      const found = await database.first(
        apiKeyRow,
        `select id, tenant_id as "tenantId", digest, scopes, expires_at as "expiresAt"
         from catalog.api_keys where prefix = $1 and revoked_at is null`,
        [prefix],
      )
      return found ?? null
    },

    membershipsOf: (subject, { after, limit }) =>
      database.all(
        memberRow,
        `${SELECT_MEMBERS} where subject = $1 and ($2::text is null or slug > $2) order by slug limit $3`,
        [subject, after, limit],
      ),

    async membershipIn(tenant, subject) {
      const found = await database.first(
        memberRow,
        `${SELECT_MEMBERS} where subject = $1 and (tenant_id = $2 or slug = $2)
         order by (tenant_id = $2) desc limit 1`,
        [subject, tenant],
      )
      return found ?? null
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
