import {
  type Epoch,
  epochSchema,
  type OperationId,
  operationIdSchema,
  type TenantId,
  tenantIdSchema,
} from '@freehold/contract'
import { type DatabaseAddress, type Listener, startListener } from '@freehold/postgres'
import { z } from 'zod'
import type { CatalogDatabase } from './database.ts'

/** What has changed in the catalog. `all`: the connection was interrupted, so anything may have. */
export type Announcement =
  /** Of a tenant that has a new home, that home's epoch. */
  | { readonly kind: 'placement'; readonly tenantId: TenantId; readonly epoch?: Epoch }
  /** A tenant is about to be moved; its home is still the same. */
  | { readonly kind: 'coming'; readonly tenantId: TenantId }
  /** A tenant has been moved: its home of this epoch takes its writes. */
  | { readonly kind: 'open'; readonly tenantId: TenantId; readonly epoch: Epoch }
  | { readonly kind: 'operation'; readonly id: OperationId }
  | { readonly kind: 'all' }

const PLACEMENT_CHANNEL = 'freehold_placement'
const COMING_CHANNEL = 'freehold_coming'
const OPEN_CHANNEL = 'freehold_open'
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
        channels: [PLACEMENT_CHANNEL, COMING_CHANNEL, OPEN_CHANNEL, OPERATION_CHANNEL],
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

    /** Tells routers that the tenant's home is about to change, so that they may connect to where it will be. */
    async announceComing(tenantId: TenantId): Promise<void> {
      await database.run('select pg_notify($1, $2)', [COMING_CHANNEL, tenantId])
    },

    /**
     * Tells routers that a tenant's writers, who may have waited for that, can go on at its home of this epoch. That the home
     * has changed was announced by itself.
     */
    async announceOpen(tenantId: TenantId, epoch: Epoch): Promise<void> {
      await database.run('select pg_notify($1, $2)', [OPEN_CHANNEL, `${tenantId} ${epoch}`])
    },

    async close(): Promise<void> {
      listeners.clear()
      await connection?.close()
    },
  }
}

function parseAnnouncement(channel: string, payload: string): Announcement | undefined {
  if (channel === OPERATION_CHANNEL) {
    const id = operationIdSchema.safeParse(payload)
    return id.success ? { kind: 'operation', id: id.data } : undefined
  }
  const home = homeSchema.safeParse(payload.split(' '))
  if (home.success && channel !== COMING_CHANNEL) {
    const [tenantId, epoch] = home.data
    return { kind: channel === OPEN_CHANNEL ? 'open' : 'placement', tenantId, epoch }
  }
  const tenantId = tenantIdSchema.safeParse(payload)
  if (!tenantId.success || channel === OPEN_CHANNEL) return undefined
  return { kind: channel === PLACEMENT_CHANNEL ? 'placement' : 'coming', tenantId: tenantId.data }
}

const homeSchema = z.tuple([tenantIdSchema, z.coerce.number().pipe(epochSchema)])
