import { FreeholdError } from '@freehold/contract'
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import type { Kysely } from 'kysely'
import { keepTenantContext } from '../context/request-context.ts'
import type { FreeholdDatabase, TenantContext } from '../context/tenant-context.ts'
import type { Tenant } from '../placement/placement.ts'
import type { Router } from '../router.ts'
import { handleError } from './problem-reply.ts'
import { CachedDirectory } from './resolution/cached-directory.ts'
import { fromToken } from './resolution/from-token.ts'
import { noNames, prepareSources } from './resolution/resolver-options.ts'
import type { TenantDirectory } from './resolution/tenant-directory.ts'
import { type Resolved, TenantResolver } from './resolution/tenant-resolver.ts'
import type { RequestApiKey, TenantSource } from './resolution/tenant-source.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The request's tenant, fixed. Throws `tenant_context_missing` in a route that has opted out. */
    readonly tenant: Tenant
    /** The tenant's database. Throws `tenant_context_missing` in a route that has opted out. */
    readonly db: Kysely<FreeholdDatabase>
    /** The API key with which the request came, or null. */
    readonly apiKey: RequestApiKey | null
  }

  interface FastifyContextConfig {
    /**
     * False for a route that has no tenant: it needs no token, and has no `request.tenant` and no `request.db`.
     * `'identified'` for a public page of a tenant: a host, a subdomain, a path or a header that names the tenant is
     * enough, and **nobody has been authenticated**; credentials that are sent must be good and agree all the same.
     */
    tenant?: false | 'identified'
    /** Scopes that an API key must have for the route. They bind API keys only, not people with tokens. */
    scopes?: readonly string[]
  }
}

export interface FreeholdPluginOptions {
  readonly router: Router<FreeholdDatabase>
  /** The claim of the token that holds the tenant's id; `tenant` unless set. Short for `resolve: [fromToken({ claim })]`. */
  readonly claim?: string
  /** What says which tenant a request is for, in order; `[fromToken()]` unless set. All that speak must agree. */
  readonly resolve?: readonly TenantSource[]
  /** Looks up slugs, hosts and API keys. The catalog's `createTenantDirectory()`; whoever opened it closes it. */
  readonly directory?: TenantDirectory
}

interface Fixed extends Resolved, TenantContext {}

/** Not on the request itself, where whatever runs for it could put something else. */
const fixed = new WeakMap<FastifyRequest, Fixed>()

/**
 * Gives every request its tenant, before the body is read and before any handler: the one that its sources name
 * (see `resolve`), who all agree, at least one of them having authenticated. Handlers use `request.db` and see their
 * tenant's rows only; {@link currentTenant} works in whatever they call. The tenant is fixed for the request.
 * Routes registered after this plugin answer Freehold's errors as problem documents.
 *
 * Which tokens are good is up to `@fastify/jwt`. Tell it to require `exp`: it accepts tokens without an expiry
 * otherwise.
 *
 * @throws FreeholdError `config_invalid`
 * @example
 * ```ts
 * const router = createRouter({ source, entrySecret })
 * await app.register(fastifyJwt, { secret, verify: { algorithms: ['HS256'], requiredClaims: ['exp'] } })
 * await app.register(freehold, {
 *   router,
 *   directory,
 *   resolve: [fromToken(), fromApiKey(), fromSubdomain({ baseDomain: 'shop.example' })],
 * })
 * app.get('/orders', (request) => request.db.selectFrom('orders').selectAll().execute())
 * app.get('/storefront', { config: { tenant: 'identified' } }, (request) => ({ shop: request.tenant.slug }))
 * app.get('/health', { config: { tenant: false } }, () => ({ ok: true }))
 * ```
 */
export const freehold = fastifyPlugin(registerFreehold, { name: '@freehold/tenancy', fastify: '5.x' })

async function registerFreehold(app: FastifyInstance, options: FreeholdPluginOptions): Promise<void> {
  const { router, directory } = options
  // Fastify lets a child context decorate anew; a second resolution there would change the tenant of the request.
  if (app.hasRequestDecorator('tenant')) {
    throw new FreeholdError('config_invalid', 'freehold is registered already, here or around here.')
  }
  const sources = sourcesOf(options)
  prepareSources(app, sources, directory !== undefined)

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
  app.decorateRequest('apiKey', {
    getter(this: FastifyRequest) {
      return fixed.get(this)?.apiKey ?? null
    },
  })

  const names = directory && new CachedDirectory(directory)
  app.addHook('onClose', async () => names?.close())
  const resolver = new TenantResolver(sources, names ?? noNames, (id) => router.tenant(id))

  app.addHook('onRoute', (route) => {
    checkConfig(route)
    route.errorHandler ??= handleError
  })

  app.addHook('onRequest', async (request) => {
    const { tenant: demand = 'authenticated', scopes = [] } = request.routeOptions.config
    if (request.is404 || demand === false) return
    const resolved = await resolver.resolve(request, demand)
    requireScopes(resolved.apiKey, scopes)
    fixed.set(request, Object.freeze({ ...resolved, db: router.forTenant(resolved.tenant.id) }))
  })

  keepTenantContext(app, (request) => fixed.get(request) ?? null)
}

function sourcesOf({ claim, resolve }: FreeholdPluginOptions): readonly TenantSource[] {
  if (claim !== undefined && resolve !== undefined) {
    throw new FreeholdError('config_invalid', 'claim: give it to fromToken() when there is a resolve.')
  }
  return resolve ?? [fromToken(claim === undefined ? {} : { claim })]
}

/** A misspelt opt-out must not become one. */
function checkConfig({ config, url }: RouteOptions): void {
  if ([undefined, false, 'identified'].includes(config?.tenant)) return
  throw new FreeholdError('config_invalid', `The route ${url}: config.tenant is false or 'identified'.`)
}

function requireScopes(apiKey: RequestApiKey | null, scopes: readonly string[]): void {
  const missing = apiKey && scopes.find((scope) => !apiKey.scopes.includes(scope))
  if (missing) throw new FreeholdError('forbidden', `The API key lacks the scope ${missing}.`)
}

/** @throws FreeholdError `tenant_context_missing` */
function contextOf(request: FastifyRequest): TenantContext {
  const context = fixed.get(request)
  if (!context) throw new FreeholdError('tenant_context_missing')
  return context
}
