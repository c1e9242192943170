import type { FastifyPluginCallbackZod } from 'fastify-type-provider-zod'
import { sql } from 'kysely'
import { z } from 'zod'

const salesQuery = z.strictObject({
  days: z.coerce.number().int().min(1).max(366).default(30).describe('How far back from now'),
  limit: z.coerce.number().int().min(1).max(100).default(10),
})

export const reportRoutes: FastifyPluginCallbackZod = (app, _options, done) => {
  /** The products that sold for most, by currency; cancelled orders do not count. */
  app.get('/reports/sales', { schema: { querystring: salesQuery } }, async (request) => {
    const { days, limit } = request.query
    const items = await request.db
      .selectFrom('order_lines')
      .innerJoin('orders', 'orders.id', 'order_lines.order_id')
      .select(['order_lines.sku', 'orders.currency'])
      .select((eb) => [
        eb.fn.count<string>('orders.id').distinct().as('orders'),
        eb.fn.sum<string>('order_lines.quantity').as('pieces'),
        eb.fn.sum<string>('order_lines.line_total').as('revenue'),
      ])
      .where('orders.status', '!=', 'cancelled')
      .where('orders.placed_at', '>', sql<Date>`now() - make_interval(days => ${days})`)
      .groupBy(['order_lines.sku', 'orders.currency'])
      .orderBy('revenue', 'desc')
      .orderBy('order_lines.sku')
      .limit(limit)
      .execute()
    return { items }
  })

  done()
}
