import { clientConfig } from '@freehold/postgres'
import { betterTenant } from '@usebetterdev/tenant'
import { drizzleDatabase } from '@usebetterdev/tenant/drizzle'
import { asc, eq, gt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import { itemsTable } from './drizzle.ts'
import { PAGE_ROWS, type System, type SystemOptions } from './system.ts'

const items = itemsTable('items_usebetterdev')
const columns = { id: items.id, name: items.name, quantity: items.quantity }

/** `@usebetterdev/tenant` with its Drizzle adapter and the policy and trigger that its command line generates. */
export function openUsebetterdev({ address, connections }: SystemOptions): System {
  const pool = new pg.Pool({ ...clientConfig(address, 'bench-usebetterdev'), max: connections })
  const tenant = betterTenant({
    database: drizzleDatabase(drizzle(pool)),
    tenantResolver: { header: 'x-tenant-id' },
    // As it comes it looks the tenant up for each piece of work, on a second connection: slower, and a deadlock as soon
    // as there are as many callers as connections.
    loadTenant: false,
    telemetry: { enabled: false },
  })
  return {
    pointRead: (tenantId, id) =>
      tenant.runAs(tenantId, async (db) => (await db.select(columns).from(items).where(eq(items.id, id)))[0]),
    page: (tenantId, afterId) =>
      tenant.runAs(tenantId, (db) =>
        db.select(columns).from(items).where(gt(items.id, afterId)).orderBy(asc(items.id)).limit(PAGE_ROWS),
      ),
    insert: (tenantId, item) =>
      tenant.runAs(tenantId, async (db) => {
        const result = await db.insert(items).values({ tenantId, ...item })
        return result.rowCount ?? 0
      }),
    readAndUpdate: (tenantId, id) =>
      tenant.runAs(tenantId, async (db) => {
        const item = (await db.select(columns).from(items).where(eq(items.id, id)))[0]
        const result = await db
          .update(items)
          .set({ quantity: sql`${items.quantity} + 1` })
          .where(eq(items.id, id))
        return result.rowCount === 1 ? item : undefined
      }),
    close: () => pool.end(),
  }
}
