import fastifyJwt from '@fastify/jwt'
import { addHostSchema, type CreatedApiKey, problemSchema, type Tenant } from '@freehold/contract'
import {
  type FreeholdPluginOptions,
  freehold,
  fromApiKey,
  fromHeader,
  fromHost,
  fromPath,
  fromSubdomain,
  fromToken,
  type TenantSource,
} from '@freehold/tenancy/fastify'
import fastify, { type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { type NamedTenants, prepareNamedTenants } from '../../../test/kit/named-tenants.ts'

export type Sent = Record<string, string>
export interface Request {
  readonly url?: string
  readonly headers?: Sent
  readonly remoteAddress?: string
}

/** A product that asks for its tenants in the ways a test has it do. */
export interface Product {
  readonly app: ReturnType<typeof fastify>
  readonly log: string[]
  /** How many handlers have run. */
  handled(): number
  get(request: Request): Promise<{ status: number; body: string; code: string | undefined }>
  token(tenant: unknown, claims?: object): string
}

/** Two tenants that are active and one that is not, each with a host and a key; and products that they can call. */
export interface Shops extends NamedTenants {
  readonly acme: Tenant
  readonly globex: Tenant
  /** It is suspended. */
  readonly gone: Tenant
  readonly keys: Readonly<Record<'acme' | 'globex' | 'gone', KeyOfTenant>>
  keyOf(tenant: Tenant, rest?: { scopes?: string[]; expiresAt?: string }): Promise<KeyOfTenant>
  product(t: Test, options?: Partial<FreeholdPluginOptions>, server?: FastifyServerOptions): Promise<Product>
}

type KeyOfTenant = CreatedApiKey & { readonly key: string }

/** The proxy whose header is believed. */
export const PROXY = '10.1.2.3'
export const secret = 'a jwt secret that is only good for tests'

export function hostOf(text: string) {
  return addHostSchema.parse({ host: text }).host
}

/** Every source there is, told what they are told in the README. */
export const allSources = (): TenantSource[] => [
  fromToken(),
  fromApiKey(),
  fromSubdomain({ baseDomain: 'shop.example', except: ['www'] }),
  fromHost({ except: ['shop.example', '*.shop.example', 'localhost'] }),
  fromPath({ prefix: '/t' }),
  fromHeader({ header: 'x-tenant-id', trustedProxies: ['10.0.0.0/8', 'fd00::/8'] }),
]

export async function prepareShops(name: string): Promise<Shops> {
  const ground = await prepareNamedTenants(name)
  const acme = await ground.tenant('acme')
  const globex = await ground.tenant('globex')
  const gone = await ground.tenant('gone')
  await ground.setStatus(gone, 'suspended')

  const keyOf: Shops['keyOf'] = async (tenant, rest = {}) => {
    const asked = { name: 'test', scopes: [], expiresAt: null, ...rest }
    const { apiKey } = await ground.catalog.apiKeys.create(tenant.id, asked, 'test')
    if (apiKey.key === null) throw new Error('no key')
    return { ...apiKey, key: apiKey.key }
  }
  const keys = { acme: await keyOf(acme), globex: await keyOf(globex), gone: await keyOf(gone) }
  for (const [tenant, host] of [
    [acme, 'www.acme.example'],
    [globex, 'globex.example'],
    [gone, 'gone.example'],
  ] as const) {
    await ground.catalog.hosts.add(tenant.id, { host: hostOf(host) })
  }

  return {
    ...ground,
    acme,
    globex,
    gone,
    keys,
    keyOf,
    async product(t, options = {}, server = {}) {
      const log: string[] = []
      let handled = 0
      const app = fastify({
        logger: { level: 'trace', stream: { write: (line) => void log.push(line) } },
        ...server,
      })
      t.teardown(() => app.close())
      await app.register(fastifyJwt, { secret })
      await app.register(freehold, {
        router: ground.router,
        directory: ground.directory,
        resolve: allSources(),
        ...options,
      })
      app.addHook('preHandler', async () => void handled++)
      const names = { config: { tenant: 'identified' } } as const
      app.get('/me', (request) => ({ slug: request.tenant.slug, key: request.apiKey?.id ?? null }))
      app.get('/t/:tenant/me', (request) => ({ slug: request.tenant.slug, key: request.apiKey?.id ?? null }))
      app.get('/storefront', names, (request) => ({ slug: request.tenant.slug }))
      app.get('/t/:tenant/storefront', names, (request) => ({ slug: request.tenant.slug }))
      app.get('/items', (request) => request.db.selectFrom('items').select('name').execute())
      app.get('/orders', { config: { scopes: ['orders:read'] } }, (request) => ({
        slug: request.tenant.slug,
      }))
      app.get('/health', { config: { tenant: false } }, () => ({ ok: true }))
      await app.ready()
      return {
        app,
        log,
        handled: () => handled,
        async get({ url = '/me', headers = {}, remoteAddress = '203.0.113.9' }) {
          const answer = await app.inject({ url, remoteAddress, headers: { host: 'localhost', ...headers } })
          const isProblem = /^application.problem\+json/.test(String(answer.headers['content-type']))
          const { instance: _, ...problem } = isProblem ? problemSchema.parse(answer.json()) : {}
          const body = isProblem ? JSON.stringify(problem) : answer.body
          return { status: answer.statusCode, body, code: isProblem ? answer.json().code : undefined }
        },
        token: (tenant, claims = {}) => app.jwt.sign({ tenant, ...claims }),
      }
    },
  }
}
