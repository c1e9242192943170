import { hasSqlState, SQLSTATE } from '@freehold/postgres'
import type { FastifyPluginCallbackZod } from 'fastify-type-provider-zod'
import { sql } from 'kysely'
import { z } from 'zod'
import { customerColumns } from '../database/columns.ts'
import { toJson } from '../database/json.ts'
import { ShopError } from '../problems.ts'
import { changes, decimal, idParams, jsonObject } from './fields.ts'
import { pageQuery, toPage } from './page.ts'

const fields = z.strictObject({
  email: z.email().max(320),
  name: z.string().max(200).min(1),
  phone: z.string().max(50).nullable(),
  born_on: z.iso.date().nullable(),
  address: jsonObject.nullable(),
  labels: z.array(z.string().max(50)).max(20),
  credit_limit: decimal(10, 4).nullable(),
  newsletter: z.boolean(),
})

const newCustomer = fields.partial().required({ email: true, name: true }).extend({ id: z.uuid().optional() })

export const customerRoutes: FastifyPluginCallbackZod = (app, _options, done) => {
  app.get('/customers', { schema: { querystring: z.strictObject(pageQuery) } }, async (request) => {
    const { limit, cursor } = request.query
    let query = request.db.selectFrom('customers').select(customerColumns)
    if (cursor)
      query = query.where(sql<boolean>`(customers.created_at, customers.id) < (${cursor[0]}, ${cursor[1]})`)
    const rows = await query
      .orderBy('customers.created_at', 'desc')
      .orderBy('customers.id', 'desc')
      .limit(limit + 1)
      .execute()
    return toPage(rows, limit, (row) => row.created_at)
  })

  app.post('/customers', { schema: { body: newCustomer } }, async (request, reply) => {
    const { address, ...values } = request.body
    const customer = await request.db
      .insertInto('customers')
      .values({ ...values, ...(address === undefined ? {} : { address: toJson(address) }) })
      .returning(customerColumns)
      .executeTakeFirstOrThrow()
    return reply.code(201).send(customer)
  })

  app.get('/customers/:id', { schema: { params: idParams } }, async (request) => {
    const customer = await request.db
      .selectFrom('customers')
      .select(customerColumns)
      .where('id', '=', request.params.id)
      .executeTakeFirst()
    if (!customer) throw new ShopError('customer_not_found')
    return customer
  })

  app.patch('/customers/:id', { schema: { params: idParams, body: changes(fields) } }, async (request) => {
    const { address, ...values } = request.body
    const customer = await request.db
      .updateTable('customers')
      .set({ ...values, ...(address === undefined ? {} : { address: toJson(address) }) })
      .where('id', '=', request.params.id)
      .returning(customerColumns)
      .executeTakeFirst()
    if (!customer) throw new ShopError('customer_not_found')
    return customer
  })

  app.delete('/customers/:id', { schema: { params: idParams } }, async (request, reply) => {
    try {
      const { numDeletedRows } = await request.db
        .deleteFrom('customers')
        .where('id', '=', request.params.id)
        .executeTakeFirst()
      if (numDeletedRows === 0n) throw new ShopError('customer_not_found')
    } catch (error) {
      if (hasSqlState(error, SQLSTATE.foreignKeyViolation)) throw new ShopError('in_use')
      throw error
    }
    return reply.code(204).send()
  })

  done()
}
