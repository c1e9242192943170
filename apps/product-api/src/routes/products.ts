import { hasSqlState, SQLSTATE } from '@freehold/postgres'
import type { FastifyPluginCallbackZod } from 'fastify-type-provider-zod'
import { sql } from 'kysely'
import { z } from 'zod'
import { productColumns } from '../database/columns.ts'
import { toJson } from '../database/json.ts'
import { ShopError } from '../problems.ts'
import { changes, decimal, idParams, jsonObject } from './fields.ts'
import { pageQuery, toPage } from './page.ts'

const imageDigest = z
  .hex()
  .length(64)
  .transform((digest) => Buffer.from(digest, 'hex'))

const fields = z.strictObject({
  sku: z.string().max(100).min(1),
  name: z.string().max(200).min(1),
  description: z.string().max(100_000).nullable(),
  price: decimal(10, 2),
  currency: z.string().length(3),
  stock: z.int().min(0).max(1_000_000_000),
  weight_kg: z.number().nonnegative().nullable(),
  attributes: jsonObject,
  tags: z.array(z.string().max(50)).max(20),
  image_digest: imageDigest.nullable(),
})

const newProduct = fields
  .partial()
  .required({ sku: true, name: true, price: true })
  .extend({ id: z.uuid().optional() })

export const productRoutes: FastifyPluginCallbackZod = (app, _options, done) => {
  app.get('/products', { schema: { querystring: z.strictObject(pageQuery) } }, async (request) => {
    const { limit, cursor } = request.query
    let query = request.db.selectFrom('products').select(productColumns)
    if (cursor)
      query = query.where(sql<boolean>`(products.created_at, products.id) < (${cursor[0]}, ${cursor[1]})`)
    const rows = await query
      .orderBy('products.created_at', 'desc')
      .orderBy('products.id', 'desc')
      .limit(limit + 1)
      .execute()
    return toPage(rows, limit, (row) => row.created_at)
  })

  app.post('/products', { schema: { body: newProduct } }, async (request, reply) => {
    const { attributes, ...values } = request.body
    const product = await request.db
      .insertInto('products')
      .values({ ...values, ...(attributes === undefined ? {} : { attributes: toJson(attributes) }) })
      .returning(productColumns)
      .executeTakeFirstOrThrow()
    return reply.code(201).send(product)
  })

  app.get('/products/:id', { schema: { params: idParams } }, async (request) => {
    const product = await request.db
      .selectFrom('products')
      .select(productColumns)
      .where('id', '=', request.params.id)
      .executeTakeFirst()
    if (!product) throw new ShopError('product_not_found')
    return product
  })

  app.patch('/products/:id', { schema: { params: idParams, body: changes(fields) } }, async (request) => {
    const { attributes, ...values } = request.body
    const product = await request.db
      .updateTable('products')
      .set({ ...values, ...(attributes === undefined ? {} : { attributes: toJson(attributes) }) })
      .where('id', '=', request.params.id)
      .returning(productColumns)
      .executeTakeFirst()
    if (!product) throw new ShopError('product_not_found')
    return product
  })

  app.delete('/products/:id', { schema: { params: idParams } }, async (request, reply) => {
    try {
      const { numDeletedRows } = await request.db
        .deleteFrom('products')
        .where('id', '=', request.params.id)
        .executeTakeFirst()
      if (numDeletedRows === 0n) throw new ShopError('product_not_found')
    } catch (error) {
      if (hasSqlState(error, SQLSTATE.foreignKeyViolation)) throw new ShopError('in_use')
      throw error
    }
    return reply.code(204).send()
  })

  done()
}
