import '@fastify/jwt'
import { FreeholdError } from '@freehold/contract'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import type { Kysely } from 'kysely'
import { type FreeholdDatabase, runInContext, type TenantContext } from '../context/tenant-context.ts'
import type { Tenant } from '../placement/placement.ts'
import type { Router } from '../router.ts'
import { handleError } from './problem-reply.ts'
import { tokenTenant, withoutTenant } from './token-tenant.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The tenant of the request's token. Throws `tenant_context_missing` in a route that has opted out. */
    readonly tenant: Tenant
    /** The tenant's database. Throws `tenant_context_missing` in a route that has opted out. */
    readonly db: Kysely<FreeholdDatabase>
  }

  interface FastifyContextConfig {
    /** False for a route that has no tenant: it needs no token, and has no `request.tenant` and no `request.db`. */
    tenant?: false
  }
}

export interface FreeholdPluginOptions {
  readonly router: Router<FreeholdDatabase>
  /** The claim of the token that holds the tenant's id; `tenant` unless set. */
  readonly claim?: string
}

const contextKey = Symbol('freehold.tenant-context')

/**
 * Gives every request its tenant: the one that its token names, verified by `@fastify/jwt`, which is registered
 * first. Handlers use `request.db` and see their tenant's rows only; {@link currentTenant} works in whatever they
 * call. Routes registered after this plugin answer Freehold's errors as problem documents.
 *
 * Which tokens are good is up to `@fastify/jwt`. Tell it to require `exp`: it accepts tokens without an expiry
 * otherwise.
 *
 * @example
 * ```ts
 * const router = createRouter({ source, entrySecret })
 * await app.register(fastifyJwt, { secret, verify: { algorithms: ['HS256'], requiredClaims: ['exp'] } })
 * await app.register(freehold, { router })
 * app.get('/orders', (request) => request.db.selectFrom('orders').selectAll().execute())
 * app.get('/health', { config: { tenant: false } }, () => ({ ok: true }))
 * ```
 */
export const freehold = fastifyPlugin(registerFreehold, {
  name: '@freehold/tenancy',
  fastify: '5.x',
  dependencies: ['@fastify/jwt'],
})

async function registerFreehold(app: FastifyInstance, options: FreeholdPluginOptions): Promise<void> {
  const { router, claim = 'tenant' } = options

  app.decorateRequest(contextKey, null)
  app.decorateRequest('tenant', {
    getter(this: FastifyRequest) {
      return contextOf(this).tenant
    },
  })
  app.decorateRequest('db', {
    getter(this: FastifyRequest) {
      return contextOf(this).db
    },
  })

  app.addHook('onRoute', (route) => {
    route.errorHandler ??= handleError
  })

  app.addHook('onRequest', async (request) => {
    if (request.is404 || request.routeOptions.config.tenant === false) return
    const tenantId = await tokenTenant(request, claim)
    try {
      request.setDecorator<TenantContext>(contextKey, {
        tenant: await router.tenant(tenantId),
        db: router.forTenant(tenantId),
      })
    } catch (error) {
      throw withoutTenant(error)
    }
  })

  // After the body has been read: reading it leaves the context that an earlier hook would have set.
  app.addHook('preHandler', (request, _reply, done) => {
    const context = request.getDecorator<TenantContext | null>(contextKey)
    if (context) runInContext(context, done)
    else done()
  })
}

/** @throws FreeholdError `tenant_context_missing` */
function contextOf(request: FastifyRequest): TenantContext {
  const context = request.getDecorator<TenantContext | null>(contextKey)
  if (!context) throw new FreeholdError('tenant_context_missing')
  return context
}
