import { type Kysely, sql, type Transaction } from 'kysely'
import { toJson } from '../database/json.ts'
import type { ProductDatabase } from '../database/types.ts'
import { ShopError } from '../problems.ts'
import { readOrder } from './read-order.ts'

export interface NewOrder {
  id?: string | undefined
  customer_id: string
  currency: string
  reference: string
  note?: string | null | undefined
  shipping?: Record<string, unknown> | null | undefined
  actor: string
  lines: readonly NewLine[]
}

interface NewLine {
  product_id: string
  quantity: number
  discount: string
  options: Record<string, unknown> | null
}

/**
 * Places an order: takes its pieces out of stock and writes the order, its lines and the first event of its
 * timeline, all or nothing.
 *
 * @throws ShopError `product_unknown`, `currencies_differ`, `out_of_stock`.
 */
export function placeOrder(db: Kysely<ProductDatabase>, order: NewOrder) {
  return db.transaction().execute(async (transaction) => {
    const products = await takeOutOfStock(transaction, order)
    const { id } = await transaction
      .insertInto('orders')
      .values({
        ...(order.id === undefined ? {} : { id: order.id }),
        customer_id: order.customer_id,
        currency: order.currency,
        total: 0,
        reference: order.reference,
        note: order.note ?? null,
        shipping: toJson(order.shipping ?? null),
      })
      .returning('id')
      .executeTakeFirstOrThrow()
    await insertLines(transaction, id, order.lines, products)
    // The database adds up what it rounded itself: the total is the sum of the lines to the last digit.
    await transaction
      .updateTable('orders')
      .set((eb) => ({
        total: eb
          .selectFrom('order_lines')
          .select((line) => line.fn.sum<string>('line_total').as('total'))
          .where('order_id', '=', id),
      }))
      .where('id', '=', id)
      .execute()
    await transaction
      .insertInto('order_events')
      .values({
        order_id: id,
        kind: 'placed',
        actor: order.actor,
        data: toJson({ lines: order.lines.length }),
      })
      .execute()
    return readOrder(transaction, id)
  })
}

interface OrderedProduct {
  id: string
  sku: string
  price: string
}

async function takeOutOfStock(
  transaction: Transaction<ProductDatabase>,
  order: NewOrder,
): Promise<ReadonlyMap<string, OrderedProduct>> {
  const pieces = new Map<string, number>()
  for (const line of order.lines) {
    pieces.set(line.product_id, (pieces.get(line.product_id) ?? 0) + line.quantity)
  }
  // Locked in the order of their ids: two orders for the same products wait for each other and cannot deadlock.
  const products = await transaction
    .selectFrom('products')
    .select(['id', 'sku', 'price', 'currency', 'stock'])
    .where('id', 'in', [...pieces.keys()])
    .orderBy('id')
    .forUpdate()
    .execute()
  if (products.length < pieces.size) throw new ShopError('product_unknown')
  if (products.some((product) => product.currency !== order.currency))
    throw new ShopError('currencies_differ')
  if (products.some((product) => product.stock < (pieces.get(product.id) ?? 0)))
    throw new ShopError('out_of_stock')
  await sql`
    update products set stock = products.stock - taken.pieces
    from unnest(${[...pieces.keys()]}::uuid[], ${[...pieces.values()]}::integer[]) as "taken" ("id", "pieces")
    where products.id = taken.id
  `.execute(transaction)
  return new Map(products.map((product) => [product.id, product]))
}

async function insertLines(
  transaction: Transaction<ProductDatabase>,
  orderId: string,
  lines: readonly NewLine[],
  products: ReadonlyMap<string, OrderedProduct>,
): Promise<void> {
  const rows = lines.map((line, index) => {
    const product = products.get(line.product_id)
    if (!product) throw new ShopError('product_unknown')
    return {
      order_id: orderId,
      line_number: index + 1,
      product_id: product.id,
      sku: product.sku,
      quantity: line.quantity,
      unit_price: product.price,
      discount: line.discount,
      options: toJson(line.options),
    }
  })
  await transaction.insertInto('order_lines').values(rows).execute()
}
