import { randomUUID } from 'node:crypto'
import type { Catalog } from '@freehold/catalog'
import { FreeholdError } from '@freehold/contract'
import type { OperationQueue } from '@freehold/engine'
import { type FastifyBaseLogger, type FastifyInstance, fastify } from 'fastify'
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { createAdmission } from './admission.ts'
import { authenticate, registerTokens } from './authentication.ts'
import type { ControlApiConfig } from './config.ts'
import { serveConsole } from './console-files.ts'
import { registerDocumentation } from './openapi.ts'
import { answerBrokenRequest, answerError } from './problems.ts'
import { apiKeyRoutes } from './routes/api-keys.ts'
import { clusterRoutes } from './routes/clusters.ts'
import { hostRoutes } from './routes/hosts.ts'
import { membershipRoutes } from './routes/memberships.ts'
import { moveEventRoutes } from './routes/move-events.ts'
import { moveOrderRoutes } from './routes/move-orders.ts'
import { moveRoutes } from './routes/moves.ts'
import { serviceRoutes } from './routes/service.ts'
import { tenantRoutes } from './routes/tenants.ts'
import { topologyRoutes } from './routes/topology.ts'
import { setSecurityHeaders } from './security-headers.ts'

export interface ControlApiDependencies {
  readonly catalog: Catalog
  readonly queue: OperationQueue
  readonly logger: FastifyBaseLogger
}

/** No request of this API is larger than a few hundred bytes. */
const BODY_LIMIT_BYTES = 64 * 1024
const REQUEST_TIMEOUT_MS = 30_000

/**
 * Builds the control API; it listens when told to. Closing it ends the streams of those who follow a move and the
 * connections that it has opened itself; catalog and queue are closed by whoever opened them.
 */
export function buildControlApi(
  config: ControlApiConfig,
  { catalog, queue, logger }: ControlApiDependencies,
): FastifyInstance {
  const app: FastifyInstance = fastify({
    loggerInstance: logger,
    genReqId: () => randomUUID(),
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    // What is refused before there is a route passes no hook.
    clientErrorHandler: answerBrokenRequest,
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) =>
      void answerError(error, request, setSecurityHeaders(request, reply)),
  })
  const admission = createAdmission(config.FREEHOLD_ENTRY_SECRET)
  const stopping = new AbortController()
  app.addHook('preClose', async () => stopping.abort())
  app.addHook('onClose', () => admission.close())

  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler(answerError)
  app.addHook('onRequest', async (request, reply) => {
    setSecurityHeaders(request, reply)
    if (stopping.signal.aborted)
      throw new FreeholdError('service_stopping', undefined, { retryAfterSeconds: 1 })
  })
  registerTokens(app, config.FREEHOLD_OPERATOR_SECRET)
  registerDocumentation(app)
  serveConsole(app, config.FREEHOLD_CONSOLE_FOLDER)
  app.register(serviceRoutes, { catalog })
  app.register(
    async (v1) => {
      v1.addHook('onRequest', authenticate)
      v1.addHook('onRequest', async (_request, reply) => void reply.header('cache-control', 'no-store'))
      v1.addHook('onRoute', (route) => {
        route.schema = { ...route.schema, security: [{ operatorToken: [] }] }
      })
      v1.register(topologyRoutes, { catalog })
      v1.register(tenantRoutes, { catalog, admit: admission.admit })
      v1.register(hostRoutes, { catalog })
      v1.register(apiKeyRoutes, { catalog })
      v1.register(membershipRoutes, { catalog })
      v1.register(moveRoutes, {
        catalog,
        queue,
        entrySecret: config.FREEHOLD_ENTRY_SECRET,
        rollbackWindowSeconds: config.FREEHOLD_ROLLBACK_WINDOW_SECONDS,
      })
      v1.register(moveOrderRoutes, { catalog, queue })
      v1.register(clusterRoutes, { catalog, entrySecret: config.FREEHOLD_ENTRY_SECRET })
      v1.register(moveEventRoutes, { catalog, stopping: stopping.signal })
    },
    { prefix: '/v1' },
  )
  return app
}
