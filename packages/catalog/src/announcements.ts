import { type OperationId, operationIdSchema, type TenantId, tenantIdSchema } from '@freehold/contract'
import { type DatabaseAddress, type Listener, startListener } from '@freehold/postgres'
import type { CatalogDatabase } from './database.ts'

/** What has changed in the catalog. `all`: the connection was interrupted, so anything may have. */
export type Announcement =
  | { readonly kind: 'placement'; readonly tenantId: TenantId }
  /** A tenant is about to be moved; its home is still the same. */
  | { readonly kind: 'coming'; readonly tenantId: TenantId }
  | { readonly kind: 'operation'; readonly id: OperationId }
  | { readonly kind: 'all' }

const PLACEMENT_CHANNEL = 'freehold_placement'
const COMING_CHANNEL = 'freehold_coming'
const OPERATION_CHANNEL = 'freehold_operation'

export type AnnouncementsCatalog = ReturnType<typeof createAnnouncements>

/** Changes as they happen. Whoever misses one is late, never wrong: the catalog itself is asked for the facts. */
export function createAnnouncements(
  address: DatabaseAddress,
  applicationName: string,
  database: CatalogDatabase,
) {
  const listeners = new Set<(announcement: Announcement) => void>()
  const tell = (announcement: Announcement) => {
    for (const listener of listeners) listener(announcement)
  }
  let connection: Listener | undefined

  return {
    /**
     * Follows the changes, over one connection for all who do. Listening has begun when the promise is
     * fulfilled, unless the control database was away; then it begins later, with `all`.
     *
     * @returns ends the subscription.
     */
    async subscribe(listener: (announcement: Announcement) => void): Promise<() => void> {
      listeners.add(listener)
      connection ??= startListener({
        address,
        applicationName: `${applicationName}-listener`,
        channels: [PLACEMENT_CHANNEL, COMING_CHANNEL, OPERATION_CHANNEL],
        onNotification: (channel, payload) => {
          const announcement = parseAnnouncement(channel, payload)
          if (announcement !== undefined) tell(announcement)
        },
        onReconnect: () => tell({ kind: 'all' }),
      })
      await connection.started
      return () => {
        listeners.delete(listener)
      }
    },

    /** Tells routers to read the tenant's placement anew. Changes of a placement are announced by themselves. */
    async announcePlacement(tenantId: TenantId): Promise<void> {
      await database.run('select pg_notify($1, $2)', [PLACEMENT_CHANNEL, tenantId])
    },

    /** Tells routers that the tenant's home is about to change, so that they may connect to where it will be. */
    async announceComing(tenantId: TenantId): Promise<void> {
      await database.run('select pg_notify($1, $2)', [COMING_CHANNEL, tenantId])
    },

    async close(): Promise<void> {
      listeners.clear()
      await connection?.close()
    },
  }
}

function parseAnnouncement(channel: string, payload: string): Announcement | undefined {
  if (channel === PLACEMENT_CHANNEL || channel === COMING_CHANNEL) {
    const tenantId = tenantIdSchema.safeParse(payload)
    const kind = channel === PLACEMENT_CHANNEL ? 'placement' : 'coming'
    return tenantId.success ? { kind, tenantId: tenantId.data } : undefined
  }
  const id = operationIdSchema.safeParse(payload)
  return id.success ? { kind: 'operation', id: id.data } : undefined
}
