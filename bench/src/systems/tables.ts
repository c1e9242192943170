import type { Kysely } from 'kysely'
import type { Item } from './system.ts'
import { PAGE_ROWS } from './system.ts'

/** A table of items for each system, so that each has row security as its guide writes it. */
export interface Tables {
  items: ItemTable
  items_predicates: ItemTable
  items_plain: ItemTable & { tenant_id: string }
  items_set_config: ItemTable & { tenant_id: string }
}

interface ItemTable {
  id: number
  name: string
  quantity: number
}

/** The queries of product code that leaves tenants to row security. */
export function scopedQueries(table: 'items' | 'items_predicates' | 'items_set_config') {
  return {
    pointRead: (db: Kysely<Tables>, id: number): Promise<Item | undefined> =>
      db.selectFrom(table).select(['id', 'name', 'quantity']).where('id', '=', id).executeTakeFirst(),

    page: (db: Kysely<Tables>, afterId: number): Promise<readonly Item[]> =>
      db
        .selectFrom(table)
        .select(['id', 'name', 'quantity'])
        .where('id', '>', afterId)
        .orderBy('id')
        .limit(PAGE_ROWS)
        .execute(),

    async addOne(db: Kysely<Tables>, id: number): Promise<boolean> {
      const result = await db
        .updateTable(table)
        .set((eb) => ({ quantity: eb('quantity', '+', 1) }))
        .where('id', '=', id)
        .executeTakeFirst()
      return result.numUpdatedRows === 1n
    },
  }
}
