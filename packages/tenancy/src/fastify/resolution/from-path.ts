import type { IncomingMessage } from 'node:http'
import { FreeholdError, slugSchema } from '@freehold/contract'
import { absent, named, type SourceOptions, type TenantSource, unknown } from './tenant-source.ts'

export interface PathOptions extends SourceOptions {
  /** `/t`, when the tenant `acme` is at `/t/acme`. */
  readonly prefix: string
}

/**
 * The tenant whose slug stands in the path behind a prefix, as the client sent it: `/t/acme/orders`. It identifies
 * and authenticates nobody. Routes are declared as `/t/:tenant/orders`, or as `/orders` where Fastify is given
 * {@link withoutTenantPath} as `rewriteUrl`.
 *
 * @throws FreeholdError `config_invalid`
 */
export function fromPath({ prefix, required = false }: PathOptions): TenantSource {
  const path = tenantPath(prefix)
  return {
    name: 'path',
    authenticates: false,
    required,
    needsDirectory: true,
    async find(request, names) {
      const found = path.exec(request.originalUrl)
      if (!found) {
        // The router reads a path more leniently (`//t/acme`): what it takes for a tenant's is not passed over here.
        const isTenants = request.routeOptions.url?.startsWith(`${prefix}/:`) === true
        return isTenants ? unknown('unusual path') : absent
      }
      const slug = slugSchema.safeParse(found[1])
      if (!slug.success) return unknown('malformed slug')
      return named(await names.tenantOfSlug(slug.data), 'unknown slug')
    },
  }
}

/**
 * Fastify's option `rewriteUrl` for tenants in the path: `/t/acme/orders?page=2` reaches the route `/orders`.
 *
 * @throws FreeholdError `config_invalid`
 * @example
 * ```ts
 * const app = fastify({ rewriteUrl: withoutTenantPath('/t') })
 * await app.register(freehold, { router, directory, resolve: [fromToken(), fromPath({ prefix: '/t' })] })
 * ```
 */
export function withoutTenantPath(prefix: string): (request: IncomingMessage) => string {
  const path = tenantPath(prefix)
  return ({ url = '/' }) => {
    const rest = url.replace(path, '')
    return rest.startsWith('/') ? rest : `/${rest}`
  }
}

function tenantPath(prefix: string): RegExp {
  if (/^(?:\/[\w-]+)+$/.test(prefix)) return new RegExp(`^${prefix}/([^/?#]*)`)
  throw new FreeholdError(
    'config_invalid',
    `prefix: ${JSON.stringify(prefix)} is not a path such as /t, of letters, digits, hyphens and underscores.`,
  )
}
