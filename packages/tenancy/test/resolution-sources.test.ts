import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Tenant } from '@freehold/contract'
import { fromHeader, fromToken, withoutTenantPath } from '@freehold/tenancy/fastify'
import t from 'tap'
import { until } from '../../../test/kit/until.ts'
import { hostOf, PROXY, type Product, prepareShops, type Sent } from './resolution-shops.ts'

const shops = await prepareShops('resolution-sources')
t.teardown(() => shops.remove())
const { acme, globex, keys, keyOf, catalog, product } = shops

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

t.test('names follow the catalog, and outlive it where that is safe', async (t) => {
  const initech = await shops.tenant('initech')
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

  await shops.setCatalogReachable(false)
  t.teardown(() => shops.setCatalogReachable(true))
  t.match(await storefront('moving.example'), { status: 200, body: '{"slug":"initech"}' })
  t.match(await storefront('new.example'), { status: 503, code: 'catalog_unavailable' })
  t.match(
    await shop.get({ headers: { 'x-api-key': keys.globex.key } }),
    { status: 503, code: 'catalog_unavailable' },
    'a key that has not been seen',
  )
  await shops.setCatalogReachable(true)
  await until(async () => (await withKey()).status === 200)
  await until(async () => (await storefront('new.example')).status === 403)
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
