import type { FastifyPluginCallbackZod } from 'fastify-type-provider-zod'
import { sql } from 'kysely'
import { z } from 'zod'
import { orderColumns } from '../database/columns.ts'
import { changeStatus } from '../orders/change-status.ts'
import { deleteOrder } from '../orders/delete-order.ts'
import { placeOrder } from '../orders/place-order.ts'
import { readOrder } from '../orders/read-order.ts'
import { ShopError } from '../problems.ts'
import { decimal, idParams, jsonObject } from './fields.ts'
import { pageQuery, toPage } from './page.ts'

const status = z.enum(['placed', 'paid', 'shipped', 'cancelled'])

const actor = z.string().min(1).max(200)

const newLine = z.strictObject({
  product_id: z.uuid(),
  quantity: z.int().min(1).max(1_000_000),
  discount: decimal(1, 4)
    .refine((share) => Number(share) <= 1, 'must be a share between 0 and 1')
    .default('0'),
  options: jsonObject.nullable().default(null),
})

const newOrder = z.strictObject({
  id: z.uuid().optional(),
  customer_id: z.uuid(),
  currency: z.string().length(3),
  reference: z.string().min(1).max(200),
  note: z.string().max(10_000).nullable().optional(),
  shipping: jsonObject.nullable().optional(),
  actor,
  lines: z.array(newLine).min(1).max(100),
})

const listQuery = z.strictObject({
  ...pageQuery,
  status: status.optional(),
  customer_id: z.uuid().optional(),
})

export const orderRoutes: FastifyPluginCallbackZod = (app, _options, done) => {
  app.get('/orders', { schema: { querystring: listQuery } }, async (request) => {
    const { limit, cursor, status, customer_id } = request.query
    let query = request.db.selectFrom('orders').select(orderColumns)
    if (status) query = query.where('status', '=', status)
    if (customer_id) query = query.where('customer_id', '=', customer_id)
    if (cursor)
      query = query.where(sql<boolean>`(orders.placed_at, orders.id) < (${cursor[0]}, ${cursor[1]})`)
    const rows = await query
      .orderBy('orders.placed_at', 'desc')
      .orderBy('orders.id', 'desc')
      .limit(limit + 1)
      .execute()
    return toPage(rows, limit, (row) => row.placed_at)
  })

  app.post('/orders', { schema: { body: newOrder } }, async (request, reply) => {
    return reply.code(201).send(await placeOrder(request.db, request.body))
  })

  app.get('/orders/:id', { schema: { params: idParams } }, async (request) => {
    const order = await readOrder(request.db, request.params.id)
    if (!order) throw new ShopError('order_not_found')
    return order
  })

  app.patch(
    '/orders/:id',
    { schema: { params: idParams, body: z.strictObject({ status, actor }) } },
    async (request) => changeStatus(request.db, request.params.id, request.body),
  )

  app.delete('/orders/:id', { schema: { params: idParams } }, async (request, reply) => {
    await deleteOrder(request.db, request.params.id)
    return reply.code(204).send()
  })

  done()
}
