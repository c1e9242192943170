import type { Kysely } from 'kysely'
import type { ProductDatabase } from '../database/types.ts'
import { ShopError } from '../problems.ts'

/**
 * Deletes a cancelled order; its lines and its timeline go with it.
 *
 * @throws ShopError `order_not_found`, `order_not_cancelled`.
 */
export function deleteOrder(db: Kysely<ProductDatabase>, id: string): Promise<void> {
  return db.transaction().execute(async (transaction) => {
    const order = await transaction
      .selectFrom('orders')
      .select('status')
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst()
    if (!order) throw new ShopError('order_not_found')
    if (order.status !== 'cancelled') throw new ShopError('order_not_cancelled')
    await transaction.deleteFrom('orders').where('id', '=', id).execute()
  })
}
