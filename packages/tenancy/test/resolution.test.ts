import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import fastifyJwt from '@fastify/jwt'
import { addHostSchema, problemSchema, type Tenant } from '@freehold/contract'
import {
  type FreeholdPluginOptions,
  freehold,
  fromApiKey,
  fromHeader,
  fromHost,
  fromPath,
  fromSubdomain,
  fromToken,
  type TenantDirectory,
  type TenantSource,
  withoutTenantPath,
} from '@freehold/tenancy/fastify'
import fastify, { type FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { prepareNamedTenants } from '../../../test/kit/named-tenants.ts'

const ground = await prepareNamedTenants('resolution')
const { catalog, router } = ground
const directory: TenantDirectory = ground.directory
t.teardown(() => ground.remove())

const acme = await ground.tenant('acme')
const globex = await ground.tenant('globex')
const gone = await ground.tenant('gone')
await ground.setStatus(gone, 'suspended')

const secret = 'a jwt secret that is only good for tests'
const keyOf = async (tenant: Tenant, rest: { scopes?: string[]; expiresAt?: string } = {}) => {
  const asked = { name: 'test', scopes: [], expiresAt: null, ...rest }
  const { apiKey } = await catalog.apiKeys.create(tenant.id, asked, 'test')
  if (apiKey.key === null) throw new Error('no key')
  return { ...apiKey, key: apiKey.key }
}
const keys = { acme: await keyOf(acme), globex: await keyOf(globex), gone: await keyOf(gone) }
for (const [tenant, host] of [
  [acme, 'www.acme.example'],
  [globex, 'globex.example'],
  [gone, 'gone.example'],
] as const) {
  await catalog.hosts.add(tenant.id, { host: hostOf(host) })
}

function hostOf(text: string) {
  return addHostSchema.parse({ host: text }).host
}

type Sent = Record<string, string>
interface Request {
  readonly url?: string
  readonly headers?: Sent
  readonly remoteAddress?: string
}

interface Product {
  readonly app: ReturnType<typeof fastify>
  readonly log: string[]
  /** How many handlers have run. */
  handled(): number
  get(request: Request): Promise<{ status: number; body: string; code: string | undefined }>
  token(tenant: unknown, claims?: object): string
}

const PROXY = '10.1.2.3'

/** Every source there is, told what they are told in the README. */
const allSources = (): TenantSource[] => [
  fromToken(),
  fromApiKey(),
  fromSubdomain({ baseDomain: 'shop.example', except: ['www'] }),
  fromHost({ except: ['shop.example', '*.shop.example', 'localhost'] }),
  fromPath({ prefix: '/t' }),
  fromHeader({ header: 'x-tenant-id', trustedProxies: ['10.0.0.0/8', 'fd00::/8'] }),
]

async function product(
  t: Test,
  options: Partial<FreeholdPluginOptions> = {},
  server: FastifyServerOptions = {},
): Promise<Product> {
  const log: string[] = []
  let handled = 0
  const app = fastify({
    logger: { level: 'trace', stream: { write: (line) => void log.push(line) } },
    ...server,
  })
  t.teardown(() => app.close())
  await app.register(fastifyJwt, { secret })
  await app.register(freehold, { router, directory, resolve: allSources(), ...options })
  app.addHook('preHandler', async () => void handled++)
  const names = { config: { tenant: 'identified' } } as const
  app.get('/me', (request) => ({ slug: request.tenant.slug, key: request.apiKey?.id ?? null }))
  app.get('/t/:tenant/me', (request) => ({ slug: request.tenant.slug, key: request.apiKey?.id ?? null }))
  app.get('/storefront', names, (request) => ({ slug: request.tenant.slug }))
  app.get('/t/:tenant/storefront', names, (request) => ({ slug: request.tenant.slug }))
  app.get('/items', (request) => request.db.selectFrom('items').select('name').execute())
  app.get('/orders', { config: { scopes: ['orders:read'] } }, (request) => ({ slug: request.tenant.slug }))
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
}

type Named = 'acme' | 'globex'
const tenants = { acme, globex }

/** How a request says, in each of the ways there are, for which tenant it is. */
const ways: Record<
  string,
  { authenticates: boolean; request: (tenant: Named, token: (id: string) => string) => Request }
> = {
  token: {
    authenticates: true,
    request: (tenant, token) => ({ headers: { authorization: `Bearer ${token(tenants[tenant].id)}` } }),
  },
  'api key': { authenticates: true, request: (tenant) => ({ headers: { 'x-api-key': keys[tenant].key } }) },
  subdomain: { authenticates: false, request: (tenant) => ({ headers: { host: `${tenant}.shop.example` } }) },
  host: {
    authenticates: false,
    request: (tenant) => ({ headers: { host: tenant === 'acme' ? 'www.acme.example' : 'globex.example' } }),
  },
  path: { authenticates: false, request: (tenant) => ({ url: `/t/${tenant}/me` }) },
  header: {
    authenticates: false,
    request: (tenant) => ({ headers: { 'x-tenant-id': tenants[tenant].id }, remoteAddress: PROXY }),
  },
}

const together = (...requests: Request[]): Request => ({
  ...Object.assign({}, ...requests),
  headers: Object.assign({}, ...requests.map(({ headers }) => headers)),
})

t.test('sources that agree open the tenant; whenever two disagree, no handler runs', async (t) => {
  const shop = await product(t)
  const forbidden = await shop.get({ headers: { authorization: `Bearer ${shop.token('nobody')}` } })
  t.equal(forbidden.status, 403)
  let disagreements = 0
  for (const [first, one] of Object.entries(ways)) {
    for (const [second, other] of Object.entries(ways)) {
      if (first === second || !(one.authenticates || other.authenticates)) continue
      // Two hosts cannot be sent at once.
      const name = `${first} and ${second}`
      const agreed = together(one.request('acme', shop.token), other.request('acme', shop.token))
      t.match(await shop.get(agreed), { status: 200, body: /"slug":"acme"/ }, name)
      const before = shop.handled()
      for (const [a, b] of [
        ['acme', 'globex'],
        ['globex', 'acme'],
      ] as const) {
        const answer = await shop.get(together(one.request(a, shop.token), other.request(b, shop.token)))
        t.same(answer, forbidden, `${name} of another tenant`)
        disagreements++
      }
      t.equal(shop.handled(), before, 'no handler')
    }
  }
  t.equal(disagreements, 36)
  t.match(shop.log.join(''), /"reason":"sources disagree"/, 'the log tells why')
})

t.test(
  'it is the comparison that refuses: with one of the sources alone the same request is let in',
  async (t) => {
    const request = (shop: Product) => ({
      headers: { authorization: `Bearer ${shop.token(acme.id)}`, 'x-api-key': keys.globex.key },
    })
    const byToken = await product(t, { resolve: [fromToken()] })
    t.match(await byToken.get(request(byToken)), { status: 200, body: /acme/ })
    const byKey = await product(t, { resolve: [fromApiKey()] })
    t.match(await byKey.get(request(byKey)), { status: 200, body: /globex/ })
    const byBoth = await product(t, { resolve: [fromToken(), fromApiKey()] })
    t.match(await byBoth.get(request(byBoth)), { status: 403, code: 'forbidden' })
  },
)

t.test('a name alone authenticates nobody', async (t) => {
  const shop = await product(t)
  const anonymous = await shop.get({})
  t.match(anonymous, { status: 401, code: 'unauthenticated' })
  for (const [name, { authenticates, request }] of Object.entries(ways)) {
    if (authenticates) continue
    t.same(await shop.get(request('acme', shop.token)), anonymous, name)
  }
  for (const host of [
    'nobody.shop.example',
    'nobody.example',
    'gone.example',
    'x'.repeat(10_000),
    '[::1]:80',
  ]) {
    t.same(await shop.get({ headers: { host } }), anonymous, 'nor does it tell which names there are')
  }
  t.equal(shop.handled(), 0)
})

t.test('public pages of a tenant', async (t) => {
  const shop = await product(t)
  const at = (host: string, headers: Sent = {}) =>
    shop.get({ url: '/storefront', headers: { host, ...headers } })
  t.match(await at('acme.shop.example'), { status: 200, body: '{"slug":"acme"}' })
  t.match(await at('globex.example'), { status: 200, body: '{"slug":"globex"}' })
  t.match(await shop.get({ url: '/t/acme/storefront' }), { status: 200, body: '{"slug":"acme"}' })
  const bearer = (tenant: Tenant) => ({ authorization: `Bearer ${shop.token(tenant.id)}` })
  t.match(await at('acme.shop.example', bearer(acme)), { status: 200 })
  t.match(await at('shop.example', bearer(acme)), { status: 200, body: /acme/ }, 'a token names one as well')

  const refused = await at('nobody.example')
  t.match(refused, { status: 403, code: 'forbidden' })
  const same: [string, Promise<object>][] = [
    ['an unknown slug', at('nobody.shop.example')],
    ['no tenant at all', at('shop.example')],
    ['a suspended tenant', at('gone.example')],
    ['a suspended tenant by its slug', at('gone.shop.example')],
    ['a token of another tenant', at('acme.shop.example', bearer(globex))],
    ['a key of another tenant', at('acme.shop.example', { 'x-api-key': keys.globex.key })],
  ]
  for (const [attempt, answer] of same) t.same(await answer, refused, attempt)
  t.match(await at('acme.shop.example', { authorization: 'Bearer rubbish' }), { code: 'token_malformed' })
})

t.test('who has proved to act for a suspended tenant is told so; nobody else is', async (t) => {
  const shop = await product(t)
  const bearer = (tenant: Tenant) => ({ authorization: `Bearer ${shop.token(tenant.id)}` })
  const suspended = await shop.get({ headers: bearer(gone) })
  t.match(suspended, { status: 403, code: 'tenant_suspended' })
  t.notMatch(suspended.body, gone.id)
  t.match(await shop.get({ headers: { 'x-api-key': keys.gone.key } }), { code: 'tenant_suspended' })
  t.match(await shop.get({ headers: { ...bearer(acme), host: 'gone.example' } }), { code: 'forbidden' })
})

t.test('hosts are read as they are meant, and refused alike when they mean nothing', async (t) => {
  await catalog.hosts.add(acme.id, { host: hostOf('bücher.example') })
  const shop = await product(t)
  const at = (host: string, tenant: Tenant = acme) =>
    shop.get({ headers: { host, authorization: `Bearer ${shop.token(tenant.id)}` } })
  const good = [
    'acme.shop.example',
    'ACME.Shop.Example',
    'acme.shop.example.',
    'acme.shop.example:8080',
    'acme.shop.example.:443',
    'WWW.acme.EXAMPLE:80',
    'xn--bcher-kva.example',
    'XN--BCHER-KVA.example.',
    'shop.example',
    'www.shop.example',
    'localhost:3000',
  ]
  for (const host of good) t.match(await at(host), { status: 200, body: /acme/ }, host)

  const refused = await at('globex.shop.example')
  t.match(refused, { status: 403, code: 'forbidden' })
  const bad = [
    'nobody.example',
    'nobody.shop.example',
    'acme.shop.example.evil.example',
    'a.acme.shop.example',
    'acme.shop.example..',
    '.shop.example',
    '-acme.shop.example',
    'acme .shop.example',
    'acme.shop.example:80:80',
    'acme.shop.example:99999999',
    'acme.shop.example@evil.example',
    'acme.shop.example/',
    'acme.shop.example#',
    'acme.shop.example, www.acme.example',
    'acme%2eshop.example',
    "x' or '1'='1.shop.example",
    "'; drop table catalog.tenant_hosts; --",
    'acme\0.shop.example',
    'acm\u00e9.shop.example',
    'bücher.example',
    '127.0.0.1',
    '127.0.0.1:80',
    '[::1]',
    '[::1]:80',
    '[::ffff:127.0.0.1]',
    '2130706433',
    'com',
    '_dmarc.acme.example',
    `${'a'.repeat(64)}.shop.example`,
    `${'a.'.repeat(200)}example`,
    'a'.repeat(10_000),
    `${'a'.repeat(10_000)}.shop.example`,
    `${'[:'.repeat(2_000)}]`,
  ]
  for (const host of bad) t.same(await at(host), refused, JSON.stringify(host.slice(0, 60)))
  t.match(await at('globex.example', globex), { status: 200 }, 'and nothing was dropped')
})

t.test('X-Forwarded-Host counts where Fastify trusts who sent it', async (t) => {
  const headers = (shop: Product) => ({
    'x-forwarded-host': 'globex.example',
    authorization: `Bearer ${shop.token(acme.id)}`,
  })
  const careless = await product(t)
  t.match(await careless.get({ headers: headers(careless) }), { status: 200, body: /acme/ }, 'passed over')
  const behind = await product(t, {}, { trustProxy: '10.0.0.0/8' })
  t.match(await behind.get({ headers: headers(behind) }), { status: 200, body: /acme/ }, 'from anybody')
  const forwarded = await behind.get({ headers: headers(behind), remoteAddress: PROXY })
  t.match(forwarded, { status: 403, code: 'forbidden' }, 'from the proxy')
  const own = { ...headers(behind), authorization: `Bearer ${behind.token(globex.id)}` }
  t.match(await behind.get({ headers: own, remoteAddress: PROXY }), { status: 200, body: /globex/ })
})

t.test('a header is believed from the own proxies alone', async (t) => {
  const shop = await product(t)
  const bearer = { authorization: `Bearer ${shop.token(acme.id)}` }
  const send = (remoteAddress: string, headers: Sent) =>
    shop.get({ headers: { ...bearer, ...headers }, remoteAddress })
  for (const proxy of ['10.0.0.1', '10.255.255.255', '::ffff:10.0.0.1', 'fd00::1', 'fdff::2']) {
    t.match(await send(proxy, { 'x-tenant-id': acme.id }), { status: 200, body: /acme/ }, proxy)
    t.match(await send(proxy, { 'x-tenant-id': globex.id }), { status: 403 }, proxy)
  }
  const refused = await shop.get({ headers: { ...bearer, host: 'nobody.example' } })
  for (const peer of ['11.0.0.1', '203.0.113.9', '::ffff:11.0.0.1', '::1', 'fe80::1%eth0', 'nonsense', '']) {
    for (const id of [acme.id, globex.id, '']) {
      t.same(await send(peer, { 'x-tenant-id': id }), refused, `${peer} cannot name ${id}`)
    }
    const spoofed = { 'x-tenant-id': globex.id, 'x-forwarded-for': '10.0.0.1', forwarded: 'for=10.0.0.1' }
    t.same(await send(peer, spoofed), refused, 'however it says that it has been forwarded')
  }
  for (const id of ['', 'nobody', "' or 1=1 --", `${acme.id}, ${globex.id}`, 'x'.repeat(10_000), 'a\0b']) {
    t.same(await send(PROXY, { 'x-tenant-id': id }), refused, 'nor does the proxy name what is none')
  }

  const trusting = await product(t, {}, { trustProxy: true })
  const spoofed = await trusting.get({
    headers: { ...bearer, 'x-tenant-id': acme.id, 'x-forwarded-for': '10.0.0.1' },
  })
  t.match(spoofed, { status: 403 }, 'the peer of the socket counts, whatever trustProxy makes of request.ip')
})

t.test('a gateway that has authenticated may say so, by id or slug', async (t) => {
  const header = { header: 'X-Tenant', trustedProxies: [PROXY], authenticates: true }
  const shop = await product(t, { resolve: [fromHeader({ ...header, holds: 'slug' })] })
  t.match(await shop.get({ headers: { 'x-tenant': 'acme' }, remoteAddress: PROXY }), { status: 200 })
  t.match(await shop.get({ headers: { 'x-tenant': 'nobody' }, remoteAddress: PROXY }), { status: 403 })
  t.match(await shop.get({ headers: { 'x-tenant': 'A B' }, remoteAddress: PROXY }), { status: 403 })
  t.match(await shop.get({ headers: { 'x-tenant': 'acme' } }), { status: 403 })
  t.match(await shop.get({ remoteAddress: PROXY }), { status: 401, code: 'unauthenticated' })
})

t.test('sources that are required', async (t) => {
  const shop = await product(t, {
    resolve: [
      fromToken({ required: true }),
      fromApiKey(),
      fromSubdomain({ baseDomain: 'shop.example', required: true }),
    ],
  })
  const bearer = { authorization: `Bearer ${shop.token(acme.id)}` }
  const host = 'acme.shop.example'
  t.match(await shop.get({ headers: { ...bearer, host } }), { status: 200 })
  t.match(await shop.get({ headers: { 'x-api-key': keys.acme.key, host } }), { code: 'unauthenticated' })
  t.match(await shop.get({ headers: bearer }), { status: 403, code: 'forbidden' })
  t.match(await shop.get({ headers: { host }, url: '/storefront' }), { status: 200 }, 'no credentials there')
  t.match(await shop.get({ headers: bearer, url: '/storefront' }), { status: 403 })
})

t.test('tenants in the path', async (t) => {
  const routerOptions = { ignoreDuplicateSlashes: true, caseSensitive: false }
  const shop = await product(t, {}, { routerOptions })
  const bearer = { authorization: `Bearer ${shop.token(acme.id)}` }
  const at = (url: string) => shop.get({ url, headers: bearer })
  t.match(await at('/t/acme/me?tenant=globex'), { status: 200, body: /acme/ })
  t.match(await at('/me?tenant=globex'), { status: 200, body: /acme/ })
  for (const url of [
    '/t/globex/me',
    '/t/nobody/me',
    '/t/Acme/me',
    '/t/%61cme/me',
    '/t/%67lobex/me',
    '//t/globex/me',
    '/t//globex/me',
    '/T/globex/me',
    '/T/acme/me',
    "/t/x'%20or%201=1/me",
    '/t/%00/me',
  ]) {
    t.match(await at(url), { status: 403, code: 'forbidden' }, url)
  }
  const rewriting = await product(t, {}, { rewriteUrl: withoutTenantPath('/t') })
  const own = { authorization: `Bearer ${rewriting.token(acme.id)}` }
  t.match(await rewriting.get({ url: '/t/acme/me?x=1', headers: own }), { status: 200, body: /acme/ })
  t.match(await rewriting.get({ url: '/t/globex/me', headers: own }), { status: 403 })
  t.match(await rewriting.get({ url: '/me', headers: own }), { status: 200 })
  t.match(await rewriting.get({ url: '/t/acme', headers: own }), { status: 404 })
  t.match(await rewriting.get({ url: '/team', headers: own }), { status: 404 })
})

t.test('API keys', async (t) => {
  const shop = await product(t)
  const send = (headers: Sent, url = '/me') => shop.get({ headers, url })
  const { key, id } = keys.acme
  t.match(await send({ 'x-api-key': key }), { status: 200, body: JSON.stringify({ slug: 'acme', key: id }) })
  t.match(await send({ authorization: `Bearer ${key}` }), { status: 200 })
  t.match(await send({ authorization: `bearer ${key}`, 'x-api-key': key }), { status: 200 })
  t.match(await send({ 'x-api-key': key }, '/items'), { status: 200, body: '[{"name":"acme"}]' })

  const expiring = await keyOf(acme, { expiresAt: new Date(Date.now() + 1_500).toISOString() })
  const soon = await send({ 'x-api-key': expiring.key })
  if (Date.now() < Date.parse(expiring.expiresAt ?? '')) t.equal(soon.status, 200)
  await sleep(1_600)

  const refused = await send({ 'x-api-key': 'rubbish' })
  t.match(refused, { status: 401, code: 'api_key_invalid' })
  const other = key.slice(0, -43) + keys.globex.key.slice(-43)
  const bad: [string, Sent][] = [
    ['expired', { 'x-api-key': expiring.key }],
    ['a wrong secret behind a right prefix', { 'x-api-key': other }],
    ['cut short', { 'x-api-key': key.slice(0, -1) }],
    ['too long', { 'x-api-key': `${key}x` }],
    ['unknown', { 'x-api-key': key.replace(/_[0-9a-f]{16}_/, '_0123456789abcdef_') }],
    ['empty', { 'x-api-key': '' }],
    ['SQL', { 'x-api-key': "fh_0123456789abcdef_' or 1=1 --" }],
    ['NUL', { 'x-api-key': key.replace('_', '\0') }],
    ['huge', { 'x-api-key': `fh_${'a'.repeat(100_000)}` }],
    ['two that differ', { 'x-api-key': key, authorization: `Bearer ${keys.globex.key}` }],
    ['a rubbish bearer', { authorization: 'Bearer fh_rubbish' }],
    ['a token in its place', { 'x-api-key': shop.token(acme.id) }],
  ]
  for (const [attempt, headers] of bad) t.same(await send(headers), refused, attempt)
  t.match(await send({ authorization: `Basic ${key}` }), { code: 'unauthenticated' })

  const revoked = await keyOf(acme)
  t.equal((await send({ 'x-api-key': revoked.key })).status, 200)
  await catalog.apiKeys.revoke(acme.id, revoked.id)
  await until(async () => (await send({ 'x-api-key': revoked.key })).status === 401)
  t.same(await send({ 'x-api-key': revoked.key }), refused, 'revoked')

  const scoped = await keyOf(acme, { scopes: ['orders:read'] })
  t.match(await send({ 'x-api-key': scoped.key }, '/orders'), { status: 200 })
  t.match(await send({ 'x-api-key': key }, '/orders'), { status: 403, body: /orders:read/ })
  const bearer = { authorization: `Bearer ${shop.token(acme.id)}` }
  t.match(await send(bearer, '/orders'), { status: 200 }, 'scopes bind keys')
  t.match(await send({ ...bearer, 'x-api-key': key }, '/orders'), { status: 403 }, 'also beside a token')

  const withoutKeys = await product(t, { resolve: [fromToken()] })
  t.match(await withoutKeys.get({ headers: { authorization: `Bearer ${key}` } }), { code: 'unauthenticated' })
})

t.test('the tenant is fixed for the request', async (t) => {
  const app = fastify()
  t.teardown(() => app.close())
  await app.register(fastifyJwt, { secret })
  await app.register(freehold, { router, directory, resolve: allSources() })
  app.addHook('preHandler', async (request) => {
    // As a product's own code could, by mistake or not.
    for (const name of ['tenant', 'db', 'apiKey'] as const) {
      t.throws(() => Object.assign(request, { [name]: 'another' }), TypeError, `request.${name} =`)
      t.throws(() => request.setDecorator(name, 'another'), TypeError, `setDecorator ${name}`)
    }
    t.throws(() => Object.assign(request.tenant, { id: globex.id }), TypeError, 'nor what it holds')
    request.user = { tenant: globex.id }
    request.headers = {
      authorization: `Bearer ${app.jwt.sign({ tenant: globex.id })}`,
      host: 'globex.example',
    }
    await request.jwtVerify()
  })
  app.get('/items', async (request) => ({
    slug: request.tenant.slug,
    rows: await request.db.selectFrom('items').select('name').execute(),
  }))
  const headers = { authorization: `Bearer ${app.jwt.sign({ tenant: acme.id })}` }
  const answer = await app.inject({ url: '/items', headers: { ...headers, host: 'shop.example' } })
  t.same(answer.json(), { slug: 'acme', rows: [{ name: 'acme' }] })
})

t.test('a second resolution cannot be registered, beside the first or within it', async (t) => {
  for (const nested of [false, true]) {
    const app = fastify()
    t.teardown(() => app.close())
    app.register(fastifyJwt, { secret })
    app.register(freehold, { router })
    if (nested) app.register(async (child) => void child.register(freehold, { router, claim: 'org' }))
    else app.register(freehold, { router, claim: 'org' })
    await t.rejects(async () => app.ready(), { code: 'config_invalid' })
  }
})

t.test('what is configured wrongly is said at once', async (t) => {
  const register = async (options: Partial<FreeholdPluginOptions>) => {
    const app = fastify()
    t.teardown(() => app.close())
    await app.register(fastifyJwt, { secret })
    await app.register(freehold, { router, ...options })
    return app
  }
  const wrong: [RegExp, () => Partial<FreeholdPluginOptions>][] = [
    [/at least one/, () => ({ resolve: [] })],
    [
      /subdomain needs the option directory/,
      () => ({ resolve: [fromSubdomain({ baseDomain: 'a.example' })] }),
    ],
    [/api key needs/, () => ({ resolve: [fromApiKey()] })],
    [/claim/, () => ({ claim: 'org', resolve: [fromToken()] })],
    [/namespace "login"/, () => ({ resolve: [fromToken({ namespace: 'login' })] })],
    [/baseDomain/, () => ({ resolve: [fromSubdomain({ baseDomain: 'https://a.example' })], directory })],
    [/except/, () => ({ resolve: [fromHost({ except: ['*.*.example'] })], directory })],
    [/prefix/, () => ({ resolve: [fromPath({ prefix: 't/' })], directory })],
    [/prefix/, () => ({ resolve: [fromPath({ prefix: '/(a+)+' })], directory })],
    [/header/, () => ({ resolve: [fromHeader({ header: 'a b', trustedProxies: [] })] })],
    ...['10.0.0.0/33', '10.0.0.0/8/8', '10.0.0', 'proxy', '10.0.0.0/', 'fd00::/129', '*'].map(
      (proxy): [RegExp, () => Partial<FreeholdPluginOptions>] => [
        /trustedProxies/,
        () => ({ resolve: [fromHeader({ header: 'x-tenant', trustedProxies: [proxy] })] }),
      ],
    ),
  ]
  for (const [message, options] of wrong) {
    await t.rejects(async () => register(options()), { code: 'config_invalid', message }, String(message))
  }
  const app = await register({})
  const misspelt = { config: { tenant: 'identfied' } } as const
  t.throws(() => app.get('/x', misspelt as object, () => 'x'), { code: 'config_invalid' })
  t.throws(() => app.get('/y', { config: { tenant: 0 } } as object, () => 'y'), { code: 'config_invalid' })
})

t.test('names follow the catalog, and outlive it where that is safe', async (t) => {
  const initech = await ground.tenant('initech')
  const shop = await product(t)
  const storefront = (host: string) => shop.get({ url: '/storefront', headers: { host } })
  t.match(await storefront('moving.example'), { status: 403 })
  const { host } = await catalog.hosts.add(acme.id, { host: hostOf('moving.example') })
  await until(async () => (await storefront('moving.example')).body === '{"slug":"acme"}')
  await catalog.hosts.remove(acme.id, host.id)
  await until(async () => (await storefront('moving.example')).status === 403)
  await catalog.hosts.add(initech.id, { host: hostOf('moving.example') })
  await until(async () => (await storefront('moving.example')).body === '{"slug":"initech"}')
  const key = await keyOf(initech)
  const withKey = () => shop.get({ headers: { 'x-api-key': key.key } })
  t.match(await withKey(), { status: 200 })

  await ground.setCatalogReachable(false)
  t.teardown(() => ground.setCatalogReachable(true))
  t.match(await storefront('moving.example'), { status: 200, body: '{"slug":"initech"}' })
  t.match(await storefront('new.example'), { status: 503, code: 'catalog_unavailable' })
  t.match(
    await shop.get({ headers: { 'x-api-key': keys.globex.key } }),
    { status: 503, code: 'catalog_unavailable' },
    'a key that has not been seen',
  )
  await ground.setCatalogReachable(true)
  await until(async () => (await withKey()).status === 200)
  await until(async () => (await storefront('new.example')).status === 403)
})

t.test('nothing is logged that opens a door', async (t) => {
  const shop = await product(t)
  const tokens = [shop.token(acme.id), shop.token('nobody'), shop.token(gone.id), shop.token(globex.id)]
  const sent = [...tokens, keys.acme.key, keys.globex.key, keys.gone.key, 'fh_0123456789abcdef_half-a-key']
  for (const credential of sent) {
    for (const header of ['authorization', 'x-api-key']) {
      const value = header === 'authorization' ? `Bearer ${credential}` : credential
      for (const host of ['localhost', 'globex.example', 'nobody.example']) {
        for (const url of ['/me', '/storefront', '/orders', '/nowhere']) {
          await shop.get({ url, headers: { [header]: value, host } })
        }
      }
    }
  }
  const logged = shop.log.join('')
  t.match(logged, /"reason":"unknown host"/)
  for (const credential of sent) {
    const opens = credential.startsWith('fh_')
      ? credential.split('_').slice(2).join('_')
      : credential.split('.')[2]
    t.notOk(logged.includes(opens ?? credential), 'no token, no key')
  }
  t.notOk(logged.includes(secret))
})

t.test('what arrives over a socket', async (t) => {
  const shop = await product(t)
  await shop.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = shop.app.server.address() as AddressInfo
  /** The first line of the answer to a request written by hand. */
  const raw = (url: string, ...lines: string[]) =>
    new Promise<string>((resolve) => {
      let answer = ''
      const socket = connect(port, '127.0.0.1', () => {
        socket.write(`GET ${url} HTTP/1.1\r\n${lines.join('\r\n')}\r\nConnection: close\r\n\r\n`)
      })
      socket.setEncoding('utf8').on('data', (chunk) => {
        answer += chunk
      })
      // A server that stops reading resets the connection, sometimes before its answer has been read.
      socket.on('error', () => undefined).on('close', () => resolve(answer.split('\r\n')[0] || 'reset'))
    })
  const bearer = `Authorization: Bearer ${shop.token(acme.id)}`
  const own = 'Host: acme.shop.example'
  t.match(await raw('/me', own, bearer), /200/)
  t.match(await raw('/me', 'Host: globex.shop.example', bearer), /403/)
  t.match(await raw('/me', own, 'Host: globex.shop.example', bearer), /40[03]/, 'two hosts')
  t.match(await raw('/me', own, 'host: acme.shop.example', bearer), /40[03]/, 'the same one twice')
  const another = `Authorization: Bearer ${shop.token(globex.id)}`
  t.match(await raw('/me', own, bearer, another), /403/, 'two tokens')
  t.match(await raw('http://globex.shop.example/me', own, bearer), /40[034]/, 'a host in the URL')
  t.match(await raw('/me', 'Host: acme\0.shop.example', bearer), /400/, 'NUL')
  t.match(await raw('/me', bearer), /400/, 'no host')
  t.match(await raw('/me', `Host: ${'a'.repeat(10_000)}`, bearer), /403/, 'a huge host')
  t.match(await raw('/me', `Host: ${'a'.repeat(100_000)}`, bearer), /431|reset/, 'more than a server takes')
  t.match(await raw('/me', own, `Authorization: Bearer ${'a'.repeat(100_000)}`), /431|reset/)
  t.match(await raw('/me', 'Host: localhost', bearer, `X-Tenant-Id: ${acme.id}`), /403/, 'no trusted peer')
  t.match(
    await raw('/me', 'Host: localhost', `X-API-Key: ${keys.acme.key}`, `X-API-Key: ${keys.acme.key}`),
    /401/,
  )
})

async function until(condition: () => Promise<boolean>, patienceMs = 20_000): Promise<void> {
  const begun = performance.now()
  while (!(await condition())) {
    if (performance.now() - begun > patienceMs) throw new Error('it has not come to be')
    await sleep(20)
  }
}
