import fastifyJwt from '@fastify/jwt'
import {
  createRouter,
  currentTenant,
  currentTenantIfAny,
  type FreeholdDatabase,
  runAsTenant,
} from '@freehold/tenancy'
import { freehold, fromHeader, fromHost, fromToken, type TenantDirectory } from '@freehold/tenancy/fastify'
import fastify from 'fastify'
import { type Kysely, sql } from 'kysely'
import { testEntrySecret } from '../../kit/tenants.ts'
import type { Inhabitant, LeakGround } from './leak-ground.ts'

interface Answer {
  readonly status: number
  readonly body: string
}

/** A product over the tenants of a ground, which listens. */
export interface Product {
  readonly address: string
  /** A token of the tenant's; null: one that names none. */
  token(of: Inhabitant | null): string
  send(path: string, as: Inhabitant | null, options?: SendOptions): Promise<Answer>
  close(): Promise<void>
}

interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

export const hostOf = ({ id }: Inhabitant): string => `t-${id}.example`

const namesOf = async (db: Kysely<FreeholdDatabase>): Promise<string> => {
  const { rows } = await sql<{ name: string }>`select name from items order by id`.execute(db)
  return rows.map(({ name }) => name).join(' ')
}

/** Requests that one limit allows. */
export const LIMIT = 3

/** Tenants are named by token, by host, and by a header from a proxy that is trusted: the one on this machine. */
export async function startProduct(ground: LeakGround): Promise<Product> {
  const router = createRouter({
    source: ground.source,
    entrySecret: testEntrySecret,
    maxConnectionsPerDatabase: 1,
    connectionWaitMs: 30_000,
  })
  const tenants = [ground.attacker, ground.victim]
  const directory: TenantDirectory = {
    tenantOfSlug: async () => null,
    tenantOfHost: async (host) => tenants.find((tenant) => hostOf(tenant) === host)?.id ?? null,
    apiKey: async () => null,
    subscribe: (listener) => ground.source.subscribe(listener),
  }
  const app = fastify()
  await app.register(fastifyJwt, { secret: 'a jwt secret that is only good for tests' })
  await app.register(freehold, {
    router,
    directory,
    resolve: [
      fromToken(),
      fromHost({ except: ['127.0.0.1', 'localhost'] }),
      fromHeader({ header: 'x-tenant-id', trustedProxies: ['127.0.0.0/8'] }),
    ],
  })
  const counted = new Map<string, number>()

  app.get('/names', (request) => namesOf(request.db))
  // A library that knows of no request: it works as whoever the context says.
  app.post('/library', async () => {
    await new Promise((resolve) => setImmediate(resolve))
    const first = await namesOf(currentTenant().db)
    return `${first} ${await namesOf(currentTenant().db)}`
  })
  app.get('/open', { config: { tenant: false } }, async (request) => {
    const nobody = currentTenantIfAny() === undefined
    return `${nobody ? 'nobody' : 'somebody'} ${await namesOf(request.db)}`
  })
  app.post('/items', async (request) => {
    await request.db.insertInto('items').values(Object(request.body)).execute()
    return 'written'
  })
  app.post('/as', async (request) => {
    const { tenant } = Object(request.body)
    return runAsTenant(router, String(tenant), (db) => namesOf(db))
  })
  app.get('/limited', async (request, reply) => {
    const used = (counted.get(request.tenant.id) ?? 0) + 1
    counted.set(request.tenant.id, used)
    return used > LIMIT ? reply.code(429).send('limited') : 'served'
  })

  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const token = (of: Inhabitant | null) => app.jwt.sign(of ? { tenant: of.id } : { sub: 'an operator' })
  return {
    address,
    token,
    async send(path, as, { headers = {}, body } = {}) {
      const sent: Record<string, string> = { ...headers, authorization: `Bearer ${token(as)}` }
      if (body !== undefined) sent['content-type'] = 'application/json'
      const answer = await app.inject({
        method: body === undefined ? 'GET' : 'POST',
        url: path,
        headers: sent,
        ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
      })
      return { status: answer.statusCode, body: answer.body }
    },
    async close() {
      await app.close()
      await router.close()
    },
  }
}
