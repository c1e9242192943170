import { createHmac } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fastifyJwt from '@fastify/jwt'
import { problemSchema, type TenantId } from '@freehold/contract'
import { createRouter, currentTenant } from '@freehold/tenancy'
import { freehold } from '@freehold/tenancy/fastify'
import fastify from 'fastify'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import {
  ControlledSource,
  createItemsDatabase,
  newTenantId,
  setResident,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'

const prepared = await startPreparedCluster('fastify')
const pool = await createItemsDatabase(prepared, 'pool')
const source = new ControlledSource()
const router = createRouter({ source, entrySecret: testEntrySecret, holdDeadlineMs: 100 })
const secret = 'a jwt secret that is only good for tests'

async function newTenant(): Promise<TenantId> {
  const tenantId = newTenantId()
  await setResident(pool, tenantId)
  source.place(pool, tenantId)
  return tenantId
}

const one = await newTenant()
const two = await newTenant()

const app = fastify()
await app.register(fastifyJwt, { secret })
await app.register(freehold, { router })
app.get('/items', (request) => request.db.selectFrom('items').select(['id', 'name']).orderBy('id').execute())
app.post<{ Body: { id: number; name: string } }>('/items', async (request, reply) => {
  await request.db.insertInto('items').values(request.body).execute()
  return reply.code(201).send({ tenant: currentTenant().tenant.id })
})
app.get('/me', (request) => request.tenant)
app.get<{ Querystring: { ms: number } }>('/slow', async (request) => {
  const before = request.tenant.id
  await sleep(Number(request.query.ms))
  const rows = await request.db.selectFrom('items').select('name').execute()
  return { before, after: request.tenant.id, context: currentTenant().tenant.id, rows }
})
app.get('/health', { config: { tenant: false } }, () => ({ ok: true }))
app.get('/careless', { config: { tenant: false } }, (request) => request.db.selectFrom('items').execute())
app.get('/context', { config: { tenant: false } }, () => currentTenant().tenant)
app.get('/broken', () => {
  throw Object.assign(new Error('of the product'), { statusCode: 418 })
})
await app.ready()
t.teardown(async () => {
  await app.close()
  await router.close()
  await prepared.cluster.remove()
})

const bearer = (claims: object, options = {}) => ({
  authorization: `Bearer ${app.jwt.sign(claims, options)}`,
})
const get = (url: string, headers: Record<string, string> = {}) => app.inject({ url, headers })

t.test('a handler has its tenant and no plumbing', async (t) => {
  const created = await app.inject({
    method: 'POST',
    url: '/items',
    headers: bearer({ tenant: one }),
    payload: { id: 1, name: 'of one' },
  })
  t.equal(created.statusCode, 201)
  t.same(created.json(), { tenant: one }, 'the context survives the reading of a body')
  t.same((await get('/items', bearer({ tenant: one }))).json(), [{ id: 1, name: 'of one' }])
  t.same((await get('/items', bearer({ tenant: two }))).json(), [])
  const me = await get('/me', bearer({ tenant: one }))
  t.match(me.json(), { id: one, tier: 'free', region: 'us-east', isolation: 'pool' })
  t.notMatch(me.body, /password|address|secret/)
})

t.test('requests of two tenants at once do not mix', async (t) => {
  await router.forTenant(two).insertInto('items').values({ id: 1, name: 'of two' }).execute()
  const answers = await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      const tenant = index % 2 ? one : two
      return { tenant, body: (await get(`/slow?ms=${(index * 7) % 20}`, bearer({ tenant }))).json() }
    }),
  )
  for (const { tenant, body } of answers) {
    const rows = [{ name: tenant === one ? 'of one' : 'of two' }]
    t.same(body, { before: tenant, after: tenant, context: tenant, rows })
  }
})

/** A token by hand, for what no library would sign. */
function forge(header: object, claims: object, key: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part(header)}.${part(claims)}`
  return `${signed}.${key && createHmac('sha256', key).update(signed).digest('base64url')}`
}

t.test('tokens that open nothing', async (t) => {
  const now = Math.floor(Date.now() / 1000)
  const good = forge({ alg: 'HS256', typ: 'JWT' }, { tenant: one }, secret)
  t.equal((await get('/items', { authorization: `Bearer ${good}` })).statusCode, 200)
  const cases: [string, Record<string, string>, number, string][] = [
    ['no token', {}, 401, 'unauthenticated'],
    ['another scheme', { authorization: 'Basic abc' }, 401, 'unauthenticated'],
    ['nothing after Bearer', { authorization: 'Bearer ' }, 401, 'unauthenticated'],
    ['not a token', { authorization: 'Bearer abc' }, 401, 'token_malformed'],
    ['not base64', { authorization: 'Bearer a.b.c' }, 401, 'token_malformed'],
    ['cut short', { authorization: `Bearer ${good.slice(0, -3)}` }, 401, 'token_malformed'],
    ['expired', bearer({ tenant: one, exp: now - 10 }), 401, 'token_expired'],
    ['not yet valid', bearer({ tenant: one, nbf: now + 60 }), 401, 'token_malformed'],
    [
      'another secret',
      { authorization: `Bearer ${forge({ alg: 'HS256' }, { tenant: one }, 'another')}` },
      401,
      'token_malformed',
    ],
    [
      'no algorithm',
      { authorization: `Bearer ${forge({ alg: 'none' }, { tenant: one }, '')}` },
      401,
      'token_malformed',
    ],
    [
      'no algorithm, but a signature',
      { authorization: `Bearer ${forge({ alg: 'none' }, { tenant: one }, secret)}` },
      401,
      'token_malformed',
    ],
    ['no claim', bearer({ sub: 'somebody' }), 403, 'forbidden'],
    ['claim of another type', bearer({ tenant: 42 }), 403, 'forbidden'],
    ['claim that is no id', bearer({ tenant: "x' or 1=1" }), 403, 'forbidden'],
    ['unknown tenant', bearer({ tenant: newTenantId() }), 403, 'forbidden'],
  ]
  for (const [name, headers, status, code] of cases) {
    const answer = await get('/items', headers)
    t.equal(answer.statusCode, status, name)
    t.match(answer.headers['content-type'], 'application/problem+json', name)
    t.equal(problemSchema.parse(answer.json()).code, code, name)
  }
  const unknown = await get('/items', bearer({ tenant: newTenantId() }))
  const missing = await get('/items', bearer({ sub: 'x' }))
  const { instance: _, ...problem } = unknown.json()
  const { instance: __, ...other } = missing.json()
  t.same(problem, other, 'an unknown tenant cannot be told from no tenant')
})

t.test('a suspended tenant is told so, and no more', async (t) => {
  const suspended = newTenantId()
  source.place(pool, suspended, { status: 'suspended' })
  const answer = await get('/items', bearer({ tenant: suspended }))
  t.equal(answer.statusCode, 403)
  t.equal(answer.json().code, 'tenant_suspended')
  t.notMatch(answer.body, suspended)
})

t.test('routes that have opted out', async (t) => {
  t.same((await get('/health')).json(), { ok: true })
  t.same((await get('/health', { authorization: 'Bearer rubbish' })).json(), { ok: true })
  for (const url of ['/careless', '/context']) {
    const answer = await get(url, bearer({ tenant: one }))
    t.equal(answer.statusCode, 500)
    t.equal(answer.json().code, 'tenant_context_missing')
  }
  t.equal((await get('/nowhere')).statusCode, 404, 'what does not exist needs no token')
})

t.test('errors', async (t) => {
  await setResident(pool, two, 'fenced')
  const held = await app.inject({
    method: 'POST',
    url: '/items',
    headers: bearer({ tenant: two }),
    payload: { id: 9, name: 'x' },
  })
  t.equal(held.statusCode, 503)
  t.equal(held.headers['retry-after'], '1')
  t.match(problemSchema.parse(held.json()), { code: 'tenant_held', status: 503 })
  t.equal((await get('/items', bearer({ tenant: two }))).statusCode, 200, 'reads go on')
  await setResident(pool, two)
  const broken = await get('/broken', bearer({ tenant: one }))
  t.equal(broken.statusCode, 418)
  t.match(broken.json(), { message: 'of the product' }, "what is not Freehold's is left to the product")
  source.failure = new Error('down')
  const down = await get('/items', bearer({ tenant: newTenantId() }))
  source.failure = undefined
  t.equal(down.statusCode, 503)
  t.equal(down.json().code, 'catalog_unavailable')
})

t.test(
  "the product's own error handler still gets its own errors, and another claim may be used",
  async (t) => {
    const other = fastify()
    t.teardown(() => other.close())
    await other.register(fastifyJwt, { secret })
    await other.register(freehold, { router, claim: 'org' })
    other.setErrorHandler((_error, _request, reply) => reply.code(499).send({ mine: true }))
    other.get('/me', (request) => request.tenant.id)
    other.get('/broken', () => {
      throw new Error('x')
    })
    const headers = { authorization: `Bearer ${other.jwt.sign({ org: one })}` }
    t.equal((await other.inject({ url: '/me', headers })).body, one)
    t.same((await other.inject({ url: '/broken', headers })).json(), { mine: true })
    t.equal((await other.inject({ url: '/me' })).json().code, 'unauthenticated')
    const without = fastify()
    t.teardown(() => without.close())
    await t.rejects(async () => without.register(freehold, { router }), /@fastify\/jwt/, 'needs @fastify/jwt')
  },
)
