import fastifyJwt from '@fastify/jwt'
import type { Tenant } from '@freehold/contract'
import {
  type FreeholdPluginOptions,
  freehold,
  fromApiKey,
  fromHeader,
  fromHost,
  fromPath,
  fromSubdomain,
  fromToken,
} from '@freehold/tenancy/fastify'
import fastify from 'fastify'
import t from 'tap'
import {
  allSources,
  PROXY,
  type Product,
  prepareShops,
  type Request,
  type Sent,
  secret,
} from './resolution-shops.ts'

const shops = await prepareShops('resolution')
t.teardown(() => shops.remove())
const { acme, globex, gone, keys, router, directory, product } = shops

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
