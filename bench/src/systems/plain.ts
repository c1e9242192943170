import { clientConfig } from '@freehold/postgres'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { PAGE_ROWS, type System, type SystemOptions } from './system.ts'
import type { Tables } from './tables.ts'

/** Kysely and `pg` as they come, a hand-written tenant predicate in every query, and nothing that checks it. */
export function openPlain({ address, connections }: SystemOptions): System {
  const pool = new pg.Pool({ ...clientConfig(address, 'bench-plain'), max: connections })
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  return {
    pointRead: (tenantId, id) =>
      db
        .selectFrom('items_plain')
        .select(['id', 'name', 'quantity'])
        .where('tenant_id', '=', tenantId)
        .where('id', '=', id)
        .executeTakeFirst(),

    page: (tenantId, afterId) =>
      db
        .selectFrom('items_plain')
        .select(['id', 'name', 'quantity'])
        .where('tenant_id', '=', tenantId)
        .where('id', '>', afterId)
        .orderBy('id')
        .limit(PAGE_ROWS)
        .execute(),

    async insert(tenantId, item) {
      const result = await db
        .insertInto('items_plain')
        .values({ tenant_id: tenantId, ...item })
        .executeTakeFirst()
      return Number(result.numInsertedOrUpdatedRows)
    },

    readAndUpdate: (tenantId, id) =>
      db.transaction().execute(async (trx) => {
        const item = await trx
          .selectFrom('items_plain')
          .select(['id', 'name', 'quantity'])
          .where('tenant_id', '=', tenantId)
          .where('id', '=', id)
          .executeTakeFirst()
        const result = await trx
          .updateTable('items_plain')
          .set((eb) => ({ quantity: eb('quantity', '+', 1) }))
          .where('tenant_id', '=', tenantId)
          .where('id', '=', id)
          .executeTakeFirst()
        return result.numUpdatedRows === 1n ? item : undefined
      }),

    close: () => db.destroy(),
  }
}
