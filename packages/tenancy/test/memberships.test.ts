import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastifyJwt from '@fastify/jwt'
import { problemSchema } from '@freehold/contract'
import {
  freehold,
  fromApiKey,
  fromToken,
  identityProvider,
  type MembershipDirectory,
  type MembershipsOptions,
  memberships,
} from '@freehold/tenancy/fastify'
import fastify from 'fastify'
import t, { type Test } from 'tap'
import { prepareNamedTenants } from '../../../test/kit/named-tenants.ts'

const ground = await prepareNamedTenants('memberships')
const { catalog, router } = ground
// The compiler checks that the catalog's directory is what the plugin wants.
const directory: MembershipDirectory & typeof ground.directory = ground.directory
t.teardown(() => ground.remove())

const acme = await ground.tenant('acme')
const globex = await ground.tenant('globex')
const initech = await ground.tenant('initech')
const closed = await ground.tenant('closed')
for (const [tenant, subject, role] of [
  [acme, 'ada', 'admin'],
  [globex, 'ada', 'viewer'],
  [closed, 'ada', 'viewer'],
  [initech, 'bob', 'admin'],
] as const) {
  await catalog.memberships.add(tenant.id, { subject, role })
}
await ground.setStatus(closed, 'suspended')

const secret = 'a jwt secret that is only good for tests'

async function product(t: Test, options: Partial<MembershipsOptions> = {}) {
  const log: string[] = []
  const app = fastify({ logger: { level: 'trace', stream: { write: (line) => void log.push(line) } } })
  t.teardown(() => app.close())
  await app.register(fastifyJwt, { secret, verify: { algorithms: ['HS256'], requiredClaims: ['exp'] } })
  await app.register(freehold, { router, directory, resolve: [fromToken(), fromApiKey()] })
  await app.register(memberships, { directory, prefix: '/me', ...options })
  app.get('/items', (request) => request.db.selectFrom('items').select('name').execute())
  await app.ready()
  const call = (method: 'GET' | 'POST', url: string, token?: string) =>
    app.inject({ method, url, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } })
  return {
    app,
    log,
    signIn: (claims: object, expiresIn: number | string = '1h') => app.jwt.sign(claims, { expiresIn }),
    list: (token?: string, query = '') => call('GET', `/me/tenants${query}`, token),
    change: (tenant: string, token?: string) =>
      call('POST', `/me/tenants/${encodeURIComponent(tenant)}/token`, token),
    items: (token: string) => call('GET', '/items', token),
  }
}

function problemOf(answer: { json(): unknown }) {
  const { instance: _, ...problem } = problemSchema.parse(answer.json())
  return problem
}

t.test('my tenants', async (t) => {
  const shop = await product(t)
  const ada = shop.signIn({ sub: 'ada' })
  const mine = await shop.list(ada)
  t.equal(mine.statusCode, 200)
  t.equal(mine.headers['cache-control'], 'no-store')
  t.same(mine.json(), {
    items: [
      { id: acme.id, slug: 'acme', name: 'ACME', role: 'admin', status: 'active' },
      { id: closed.id, slug: 'closed', name: 'CLOSED', role: 'viewer', status: 'suspended' },
      { id: globex.id, slug: 'globex', name: 'GLOBEX', role: 'viewer', status: 'active' },
    ],
    nextCursor: null,
  })
  const page = (await shop.list(ada, '?limit=2')).json()
  t.match(page, { items: [{ slug: 'acme' }, { slug: 'closed' }], nextCursor: 'closed' })
  t.match((await shop.list(ada, `?limit=2&cursor=${page.nextCursor}`)).json(), {
    items: [{ slug: 'globex' }],
    nextCursor: null,
  })
  t.same((await shop.list(shop.signIn({ sub: 'nobody' }))).json(), { items: [], nextCursor: null })
  t.same((await shop.list(shop.signIn({ sub: "' or 1=1 --" }))).json().items, [])
  for (const query of ['?limit=0', '?limit=x', "?cursor='", '?cursor=A', '?subject=bob']) {
    const refused = await shop.list(ada, query)
    t.equal(refused.statusCode, 400, query)
    t.equal(problemOf(refused).code, 'invalid_request', query)
  }
})

t.test('a token for one of them', async (t) => {
  const shop = await product(t)
  const ada = shop.signIn({ sub: 'ada' })
  t.equal((await shop.items(ada)).statusCode, 403, 'having signed in opens no tenant')
  for (const [tenant, name] of [
    [acme.id, 'acme'],
    ['globex', 'globex'],
  ] as const) {
    const answer = await shop.change(tenant, ada)
    t.equal(answer.statusCode, 200)
    t.equal(answer.headers['cache-control'], 'no-store')
    const { token, expiresInSeconds, tenant: of } = answer.json()
    t.equal(expiresInSeconds, 900)
    t.equal(of.slug, name)
    t.match(shop.app.jwt.decode(token), { sub: 'ada', tenant: of.id, role: of.role })
    t.same((await shop.items(token)).json(), [{ name }])
    const onward = (await shop.change('globex', token)).json()
    t.same((await shop.items(onward.token)).json(), [{ name: 'globex' }], 'from tenant to tenant')
  }
})

t.test('who is no member cannot tell whether there is such a tenant', async (t) => {
  const shop = await product(t)
  const ada = shop.signIn({ sub: 'ada' })
  const refused = await shop.change('initech', ada)
  t.equal(refused.statusCode, 403)
  t.equal(problemOf(refused).code, 'forbidden')
  for (const tenant of [
    initech.id,
    'nobody',
    '00000000-0000-4000-8000-000000000000',
    '42',
    "' or 1=1 --",
    'a\0b',
    ' ',
    'x'.repeat(99),
  ]) {
    t.same(problemOf(await shop.change(tenant, ada)), problemOf(refused), JSON.stringify(tenant))
  }
  t.equal(problemOf(await shop.change('closed', ada)).code, 'tenant_suspended', 'a member is told')
  t.same(problemOf(await shop.change('closed', shop.signIn({ sub: 'bob' }))), problemOf(refused))

  const { items } = await catalog.memberships.list(globex.id, { limit: 1 })
  await catalog.memberships.remove(globex.id, items[0]?.id ?? '')
  t.same(problemOf(await shop.change('globex', ada)), problemOf(refused), 'a membership that has ended')
  await catalog.memberships.add(globex.id, { subject: 'ada', role: 'viewer' })
})

t.test('who has not signed in', async (t) => {
  const shop = await product(t)
  const { apiKey } = await catalog.apiKeys.create(acme.id, { name: 'x', scopes: [], expiresAt: null }, 'test')
  const key = apiKey.key ?? ''
  const cases: [string, string | undefined, number, string][] = [
    ['no token', undefined, 401, 'unauthenticated'],
    ['rubbish', 'rubbish', 401, 'token_malformed'],
    ['expired', shop.signIn({ sub: 'ada', iat: 1 }, 1), 401, 'token_expired'],
    ['an API key', key, 401, 'token_malformed'],
    ['no subject', shop.signIn({ tenant: acme.id }), 403, 'forbidden'],
    ['a subject that is no text', shop.signIn({ sub2: 1, sub: '' }), 403, 'forbidden'],
    ['oversized', 'x'.repeat(100_000), 401, 'token_malformed'],
  ]
  for (const [attempt, token, status, code] of cases) {
    for (const answer of [await shop.list(token), await shop.change('acme', token)]) {
      t.equal(answer.statusCode, status, attempt)
      t.equal(problemOf(answer).code, code, attempt)
    }
  }
})

t.test('a token never outlives the one with which it was asked for', async (t) => {
  const shop = await product(t, { ttlSeconds: 60 })
  const long = (await shop.change('acme', shop.signIn({ sub: 'ada' }))).json()
  t.equal(long.expiresInSeconds, 60)
  const signedIn = shop.signIn({ sub: 'ada' }, 30)
  const short = (await shop.change('acme', signedIn)).json()
  t.ok(short.expiresInSeconds <= 30)
  const again = (await shop.change('acme', short.token)).json()
  const expiryOf = (token: string) => shop.app.jwt.decode<{ exp: number }>(token)?.exp ?? 0
  t.ok(expiryOf(again.token) <= expiryOf(signedIn), 'however often it is changed')
})

t.test('signed in with a provider, at work with tokens of the product', async (t) => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const server = createServer((_, response) =>
    response.end(JSON.stringify({ keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'k' }] })),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = Math.floor(Date.now() / 1000) + 3_600
  const input = `${part({ alg: 'ES256', kid: 'k' })}.${part({ iss: issuer, aud: 'shop', sub: 'ada', exp })}`
  const key = createPrivateKey(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })
  const login = `${input}.${signature.toString('base64url')}`

  const app = fastify()
  t.teardown(() => app.close())
  await app.register(fastifyJwt, {
    ...identityProvider({ issuer, audience: 'shop', jwksUri: `${issuer}/keys` }),
    namespace: 'login',
  })
  await app.register(fastifyJwt, {
    secret,
    namespace: 'shop',
    verify: { algorithms: ['HS256'], requiredClaims: ['exp'] },
  })
  await app.register(freehold, { router, resolve: [fromToken({ namespace: 'shop' })] })
  await app.register(memberships, { directory, signedInWith: 'login', signWith: 'shop' })
  app.get('/items', (request) => request.db.selectFrom('items').select('name').execute())
  const call = (method: 'GET' | 'POST', url: string, token: string) =>
    app.inject({ method, url, headers: { authorization: `Bearer ${token}` } })

  t.equal((await call('GET', '/tenants', login)).json().items.length, 3)
  const { token } = (await call('POST', '/tenants/acme/token', login)).json()
  t.same((await call('GET', '/items', token)).json(), [{ name: 'acme' }])
  t.equal((await call('GET', '/items', login)).statusCode, 401, 'a login opens no tenant')
  t.equal((await call('GET', '/tenants', token)).statusCode, 401, 'and a token of the product is no login')
})

t.test('what is configured wrongly is said at once', async (t) => {
  const register = async (
    jwt: Parameters<typeof fastifyJwt>[1] | null,
    options: Partial<MembershipsOptions>,
  ) => {
    const app = fastify()
    t.teardown(() => app.close())
    if (jwt) await app.register(fastifyJwt, jwt)
    await app.register(memberships, { directory, ...options })
  }
  const provider = identityProvider({ issuer: 'https://login.example', audience: 'shop' })
  const refused = { code: 'config_invalid' }
  await t.rejects(async () => register(null, {}), refused, 'no @fastify/jwt')
  await t.rejects(async () => register({ secret }, { signedInWith: 'login' }), refused, 'no such namespace')
  await t.rejects(
    async () => register({ secret }, { signWith: 'login' }),
    refused,
    'no such namespace to sign',
  )
  await t.rejects(async () => register(provider, {}), refused, 'public keys sign nothing')
  await t.rejects(async () => register({ secret: async () => secret }, {}), refused, 'nor does a function')
  for (const ttlSeconds of [0, -1, 1.5, Number.NaN]) {
    await t.rejects(async () => register({ secret }, { ttlSeconds }), refused, String(ttlSeconds))
  }
})

t.test('while the catalog is away, nobody changes tenants', async (t) => {
  const shop = await product(t)
  const ada = shop.signIn({ sub: 'ada' })
  await ground.setCatalogReachable(false)
  t.teardown(() => ground.setCatalogReachable(true))
  for (const answer of [await shop.list(ada), await shop.change('acme', ada)]) {
    t.equal(answer.statusCode, 503)
    t.equal(problemOf(answer).code, 'catalog_unavailable')
  }
  await ground.setCatalogReachable(true)
  const logged = shop.log.join('')
  t.notOk(logged.includes(ada.split('.')[2] ?? ada), 'no token is logged')
})
