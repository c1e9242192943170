import { type Kysely, sql } from 'kysely'
import { toJson } from '../database/json.ts'
import type { OrderStatus, ProductDatabase } from '../database/types.ts'
import { ShopError } from '../problems.ts'
import { readOrder } from './read-order.ts'

/** What an order may become. */
const next: Readonly<Record<OrderStatus, readonly OrderStatus[]>> = {
  placed: ['paid', 'cancelled'],
  paid: ['shipped', 'cancelled'],
  shipped: [],
  cancelled: [],
}

/**
 * Gives an order another status and notes it on its timeline; a cancelled order's pieces go back into stock.
 *
 * @throws ShopError `order_not_found`, `status_not_allowed`.
 */
export function changeStatus(
  db: Kysely<ProductDatabase>,
  id: string,
  change: { readonly status: OrderStatus; readonly actor: string },
) {
  return db.transaction().execute(async (transaction) => {
    const order = await transaction
      .selectFrom('orders')
      .select('status')
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst()
    if (!order) throw new ShopError('order_not_found')
    if (!next[order.status].includes(change.status)) throw new ShopError('status_not_allowed')
    await transaction.updateTable('orders').set({ status: change.status }).where('id', '=', id).execute()
    if (change.status === 'cancelled') {
      await sql`
        update products set stock = products.stock + returned.pieces
        from (
          select order_lines.product_id, sum(order_lines.quantity)::integer as pieces
          from order_lines where order_lines.order_id = ${id} group by order_lines.product_id
        ) as returned
        where products.id = returned.product_id
      `.execute(transaction)
    }
    await transaction
      .insertInto('order_events')
      .values({
        order_id: id,
        kind: change.status,
        actor: change.actor,
        data: toJson({ from: order.status }),
      })
      .execute()
    return readOrder(transaction, id)
  })
}
