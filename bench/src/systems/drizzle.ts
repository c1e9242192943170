import { clientConfig } from '@freehold/postgres'
import { asc, eq, gt, sql } from 'drizzle-orm'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import pg from 'pg'
import { PAGE_ROWS, type System, type SystemOptions } from './system.ts'

const items = itemsTable('items_drizzle')
const columns = { id: items.id, name: items.name, quantity: items.quantity }

type Transaction = Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]

/** Drizzle as the guide of its row security writes it: a transaction, the setting, the work, the setting undone. */
export function openDrizzle({ address, connections }: SystemOptions): System {
  const pool = new pg.Pool({ ...clientConfig(address, 'bench-drizzle'), max: connections })
  const db = drizzle(pool)

  const asTenant = <T>(tenantId: string, work: (tx: Transaction) => Promise<T>): Promise<T> =>
    db.transaction(async (tx) => {
      try {
        await tx.execute(sql`select set_config('app.tenant_id', ${tenantId}, true)`)
        return await work(tx)
      } finally {
        await tx.execute(sql`select set_config('app.tenant_id', null, true)`)
      }
    })

  const byId = async (tx: Transaction, id: number) =>
    (await tx.select(columns).from(items).where(eq(items.id, id)))[0]

  return {
    pointRead: (tenantId, id) => asTenant(tenantId, (tx) => byId(tx, id)),
    page: (tenantId, afterId) =>
      asTenant(tenantId, (tx) =>
        tx.select(columns).from(items).where(gt(items.id, afterId)).orderBy(asc(items.id)).limit(PAGE_ROWS),
      ),
    insert: (tenantId, item) =>
      asTenant(tenantId, async (tx) => {
        const result = await tx.insert(items).values({ tenantId, ...item })
        return result.rowCount ?? 0
      }),
    readAndUpdate: (tenantId, id) =>
      asTenant(tenantId, async (tx) => {
        const item = await byId(tx, id)
        const result = await tx
          .update(items)
          .set({ quantity: sql`${items.quantity} + 1` })
          .where(eq(items.id, id))
        return result.rowCount === 1 ? item : undefined
      }),
    close: () => pool.end(),
  }
}

export function itemsTable(name: string) {
  return pgTable(name, {
    tenantId: uuid('tenant_id').notNull(),
    id: integer('id').notNull(),
    name: text('name').notNull(),
    quantity: integer('quantity').notNull(),
  })
}
