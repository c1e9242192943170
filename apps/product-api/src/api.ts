import fastifyJwt from '@fastify/jwt'
import { createRouteSource } from '@freehold/catalog'
import { FreeholdError } from '@freehold/contract'
import { createRouter } from '@freehold/tenancy'
import { freehold } from '@freehold/tenancy/fastify'
import Fastify, { type FastifyInstance, type FastifyRequest, LogController } from 'fastify'
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { pino } from 'pino'
import type { ProductApiConfig } from './config.ts'
import type { ProductDatabase } from './database/types.ts'
import { answerError } from './error-handler.ts'
import { customerRoutes } from './routes/customers.ts'
import { healthRoute } from './routes/health.ts'
import { orderRoutes } from './routes/orders.ts'
import { productRoutes } from './routes/products.ts'
import { reportRoutes } from './routes/reports.ts'

// With this, request.db knows the product's tables.
declare module '@freehold/tenancy' {
  interface FreeholdDatabase extends ProductDatabase {}
}

const APPLICATION = 'product-api'

/**
 * Builds the product API: routes of the shop, each run as the tenant that the request's token names. Listens to
 * nothing yet. Closing it closes its connections, after the requests under way.
 *
 * @example
 * ```ts
 * const api = await buildProductApi(readConfig())
 * await api.listen({ host: '127.0.0.1', port: 3002 })
 * ```
 */
export async function buildProductApi(config: ProductApiConfig): Promise<FastifyInstance> {
  const source = createRouteSource({ address: config.FREEHOLD_CATALOG_URL, applicationName: APPLICATION })
  const router = createRouter({ source, entrySecret: config.FREEHOLD_ENTRY_SECRET })

  const app = Fastify({
    // Written at once: what waits to be written when nobody reads it any more, pino would try for ever, and never end.
    logger: {
      level: config.LOG_LEVEL,
      serializers: { req: describeRequest },
      stream: pino.destination({ sync: true }),
    },
    logController: new LogController({ disableRequestLogging: true }),
  })
  app.addHook('onClose', async () => {
    await router.close()
    await source.close()
  })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler(answerError)
  app.setNotFoundHandler(() => {
    throw new FreeholdError('route_not_found')
  })

  await app.register(fastifyJwt, {
    secret: config.PRODUCT_JWT_SECRET,
    // Unless told so, it accepts a token that never expires.
    verify: { algorithms: ['HS256'], requiredClaims: ['exp'] },
  })
  await app.register(freehold, { router, claim: 'tenant' })
  await app.register(healthRoute)
  await app.register(customerRoutes)
  await app.register(productRoutes)
  await app.register(orderRoutes)
  await app.register(reportRoutes)
  return app
}

/** The path only: what stands in a query may be a secret, or a tenant's data. */
function describeRequest({ method, url, ip }: FastifyRequest) {
  return { method, path: url.split('?', 1)[0], remoteAddress: ip }
}
