import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { problemSchema } from '@freehold/contract'
import { readConfig } from '@freehold/control-api'
import { withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import { buildTestControlApi, signJwt } from '../../../test/kit/control-api.ts'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { prepareMovingGround } from '../../../test/kit/moving-ground.ts'

const folder = await mkdtemp(join(tmpdir(), 'freehold-console-'))
await mkdir(join(folder, 'assets'))
await writeFile(join(folder, 'index.html'), '<!doctype html><title>The console</title>')
await writeFile(join(folder, 'assets', 'main-1a2b.js'), 'export {}')

const ground = await prepareMovingGround()
const api = await buildTestControlApi(ground, { FREEHOLD_CONSOLE_FOLDER: folder })
const { app } = api
t.teardown(async () => {
  await api.close()
  await ground.remove()
  await rm(folder, { recursive: true })
})

type Answer = Awaited<ReturnType<typeof app.inject>>

/** Every error is a problem document of the registry, complete, with the id of its request. */
function problemOf(t: Test, answer: Answer) {
  t.equal(answer.headers['content-type'], 'application/problem+json')
  const problem = problemSchema.parse(answer.json())
  t.equal(problem.status, answer.statusCode)
  t.equal(problem.instance, answer.headers['x-request-id'])
  return problem
}

const hs256 = { alg: 'HS256', typ: 'JWT' }
const now = Math.floor(Date.now() / 1000)
const good = { sub: 'ada', role: 'operator', iat: now, exp: now + 60 }
const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(good)).toString('base64url')}.`

const refusedTokens: [string, string | undefined, string][] = [
  ['no header', undefined, 'unauthenticated'],
  ['another scheme', 'Basic YWRhOnB3', 'unauthenticated'],
  ['no token', 'Bearer', 'unauthenticated'],
  ['no JWT', 'Bearer nonsense', 'token_malformed'],
  ['three parts of nothing', 'Bearer a.b.c', 'token_malformed'],
  ['algorithm none', `Bearer ${unsigned}`, 'token_malformed'],
  ['none with a signature', `Bearer ${signJwt({ alg: 'none' }, good)}`, 'token_malformed'],
  ['another algorithm', `Bearer ${signJwt({ alg: 'HS512' }, good, undefined, 'sha512')}`, 'token_malformed'],
  ['another secret', `Bearer ${signJwt(hs256, good, 'x'.repeat(40))}`, 'token_malformed'],
  ['a changed claim', `Bearer ${tampered()}`, 'token_malformed'],
  ['expired', `Bearer ${signJwt(hs256, { ...good, exp: now - 1 })}`, 'token_expired'],
  [
    'expired, another secret',
    `Bearer ${signJwt(hs256, { ...good, exp: now - 1 }, 'x'.repeat(40))}`,
    'token_malformed',
  ],
  ['not valid yet', `Bearer ${signJwt(hs256, { ...good, nbf: now + 60 })}`, 'token_malformed'],
  ['no expiry', `Bearer ${signJwt(hs256, { sub: 'ada', role: 'operator' })}`, 'token_malformed'],
  ['no role', `Bearer ${signJwt(hs256, { ...good, role: undefined })}`, 'token_malformed'],
  ['a made-up role', `Bearer ${signJwt(hs256, { ...good, role: 'root' })}`, 'token_malformed'],
  ['no subject', `Bearer ${signJwt(hs256, { ...good, sub: '' })}`, 'token_malformed'],
]

function tampered(): string {
  const [header, , signature] = signJwt(hs256, { ...good, role: 'viewer' }).split('.')
  return `${header}.${Buffer.from(JSON.stringify(good)).toString('base64url')}.${signature}`
}

t.test('who has no valid token learns nothing', async (t) => {
  const routes = ['/v1/me', '/v1/topology', '/v1/tenants', '/v1/tenants/acme', '/v1/moves']
  for (const url of routes) t.equal((await app.inject(url)).statusCode, 401, url)
  for (const [attempt, authorization, code] of refusedTokens) {
    const answer = await app.inject({ url: '/v1/me', headers: authorization ? { authorization } : {} })
    const problem = problemOf(t, answer)
    t.equal(problem.code, code, attempt)
    t.equal(answer.headers['www-authenticate'], 'Bearer')
  }
  const before = api.log.length
  await app.inject({ url: '/v1/me', headers: { authorization: `Bearer ${api.token()}` } })
  await api.app.inject({ url: `/v1/tenants?token=${api.token()}` })
  const logged = api.log.slice(before).join('')
  t.match(logged, '"path":"/v1/tenants"')
  t.notMatch(logged, api.token().split('.')[2], 'no log holds a token, wherever it was sent')
})

t.test('a token says who asks and what they may do', async (t) => {
  const as = (role: 'viewer' | 'operator') => ({ authorization: `Bearer ${api.token(role)}` })
  t.same((await app.inject({ url: '/v1/me', headers: as('viewer') })).json(), {
    sub: 'test-viewer',
    role: 'viewer',
  })
  const orders = ['cancel', 'pause', 'resume', 'approve']
  const writes = [
    '/v1/tenants',
    '/v1/moves',
    ...orders.map((order) => `/v1/moves/00000000-0000-4000-8000-000000000000/${order}`),
    '/v1/clusters/us-1/drain',
    '/v1/clusters/mars-1/undrain',
    '/v1/tenants/nobody/references',
  ]
  for (const url of writes) {
    const refused = await app.inject({ method: 'POST', url, headers: as('viewer'), payload: {} })
    t.equal(problemOf(t, refused).code, 'forbidden', url)
    const allowed = await app.inject({ method: 'POST', url, headers: as('operator'), payload: {} })
    t.not(allowed.statusCode, 403)
  }
})

t.test('what is wrong with a request is said by field, and nothing is changed', async (t) => {
  const headers = { authorization: `Bearer ${api.token()}` }
  const post = (payload: object | string, more: Record<string, string> = {}) =>
    app.inject({
      method: 'POST',
      url: '/v1/tenants',
      headers: { ...headers, 'content-type': 'application/json', ...more },
      payload,
    })
  const issuesOf = async (answer: Promise<Answer>) => {
    const problem = problemOf(t, await answer)
    t.equal(problem.code, 'invalid_request')
    return problem.issues?.map(({ path }) => path)
  }
  t.same(await issuesOf(post({ slug: 'Not A Slug', region: 'us' })), ['body/slug', 'body/name'])
  t.match((await post({ slug: 'a', name: 'A', region: 'us', admin: true })).json().issues, [
    { path: 'body', message: /admin/ },
  ])
  t.same(await issuesOf(post('{"slug":')), ['body'])
  t.same(await issuesOf(post('')), ['body'])
  t.same(await issuesOf(post('<xml/>', { 'content-type': 'text/xml' })), ['headers/content-type'])
  t.same(await issuesOf(post({ slug: 'a', name: 'x'.repeat(100_000), region: 'us' })), ['body'])
  const valid = { slug: 'a', name: 'A', region: 'us' }
  t.same(await issuesOf(post(valid, { 'idempotency-key': 'x'.repeat(201) })), ['headers/idempotency-key'])

  const get = (url: string) => app.inject({ url, headers })
  t.same(await issuesOf(get('/v1/tenants?limit=1000')), ['querystring/limit'])
  t.same(await issuesOf(get('/v1/tenants?cursor=%00')), ['querystring/cursor'])
  t.same(await issuesOf(get('/v1/moves?active=perhaps')), ['querystring/active'])
  t.same(await issuesOf(get('/v1/moves/17')), ['params/id'])
  t.same(await issuesOf(get('/v1/%zz')), ['url'])
  t.same(await issuesOf(get(`/v1/tenants/${'x'.repeat(101)}`)), ['url'])
  t.same((await get('/v1/tenants')).json(), { items: [], nextCursor: null })

  for (const [method, url] of [
    ['GET', '/v1/nothing'],
    ['GET', '/nothing'],
    ['DELETE', '/v1/tenants'],
    ['POST', '/'],
  ] as const) {
    t.equal(
      problemOf(t, await app.inject({ method, url, headers })).code,
      'route_not_found',
      `${method} ${url}`,
    )
  }
})

t.test('what is not HTTP is answered and forgotten', async (t) => {
  const { port } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))
  const socket = connect(Number(port), '127.0.0.1')
  socket.write('NONSENSE\r\n\r\n')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  const [head = '', body = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n')
  t.match(head, /^HTTP\/1.1 400 [\s\S]*application\/problem\+json/)
  t.equal(problemSchema.parse(JSON.parse(body)).code, 'invalid_request')
})

t.test('what went wrong inside stays inside', async (t) => {
  const asRoot = (sql: string) =>
    withClient(asSuperuser(ground.us.cluster, 'freehold_catalog'), 'test', (client) => client.query(sql))
  await asRoot('alter table catalog.tiers rename column name to secret_column')
  t.teardown(() => asRoot('alter table catalog.tiers rename column secret_column to name'))
  const answer = await app.inject({
    url: '/v1/topology',
    headers: { authorization: `Bearer ${api.token()}` },
  })
  const problem = problemOf(t, answer)
  t.equal(problem.code, 'internal')
  t.equal(problem.detail, 'Something failed that should not have')
  t.notMatch(answer.body, /column|tiers|select/i)
  const logged = api.log.find((line) => line.includes(String(problem.instance)) && line.includes('42703'))
  t.ok(logged, 'but the log has it, by the id of the request')
})

t.test('health says alive, readiness says whether requests can be answered', async (t) => {
  t.same((await app.inject('/healthz')).json(), { status: 'ok' })
  t.same((await app.inject('/readyz')).json(), { status: 'ok' })
  const asRoot = (sql: string) =>
    withClient(asSuperuser(ground.us.cluster, 'postgres'), 'test', (client) => client.query(sql))
  await asRoot('alter database freehold_catalog allow_connections false')
  await asRoot("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'freehold_catalog'")
  const away = await app.inject('/readyz')
  t.equal(problemOf(t, away).code, 'catalog_unavailable')
  t.equal(away.headers['retry-after'], '1')
  t.equal((await app.inject('/healthz')).statusCode, 200)
  await asRoot('alter database freehold_catalog allow_connections true')
  t.equal((await app.inject('/readyz')).statusCode, 200)
})

t.test('the console is served, with its own routes, under a strict policy', async (t) => {
  const html = { accept: 'text/html,*/*' }
  for (const url of ['/', '/tenants/acme', '/moves?active=true']) {
    const page = await app.inject({ url, headers: html })
    t.match(page.body, 'The console', url)
    t.equal(page.headers['cache-control'], 'no-cache')
    const policy = String(page.headers['content-security-policy'])
    t.match(policy, "default-src 'self'")
    t.match(policy, "script-src 'self';")
    t.match(policy, "frame-ancestors 'none'")
    t.match(page.headers, { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' })
  }
  const script = await app.inject('/assets/main-1a2b.js')
  t.match(script.headers, { 'content-type': /javascript/, 'cache-control': /immutable/ })
  for (const url of ['/assets/gone.js', '/v1/nothing', '/docs/nothing', '/..%2f..%2fetc%2fpasswd']) {
    const missing = await app.inject({ url, headers: url.includes('passwd') ? {} : html })
    t.equal(missing.statusCode, 404, url)
    t.notMatch(missing.body, /The console|root:/)
  }
})

t.test('the API describes itself', async (t) => {
  const document = (await app.inject('/docs/json')).json()
  t.equal(document.openapi, '3.1.0')
  t.same(Object.keys(document.paths).sort(), [
    '/healthz',
    '/readyz',
    '/v1/clusters/{cluster}',
    '/v1/clusters/{cluster}/drain',
    '/v1/clusters/{cluster}/evacuation',
    '/v1/clusters/{cluster}/undrain',
    '/v1/me',
    '/v1/moves',
    '/v1/moves/plan',
    '/v1/moves/{id}',
    '/v1/moves/{id}/approve',
    '/v1/moves/{id}/cancel',
    '/v1/moves/{id}/events',
    '/v1/moves/{id}/finalize',
    '/v1/moves/{id}/pause',
    '/v1/moves/{id}/resume',
    '/v1/moves/{id}/rollback',
    '/v1/tenants',
    '/v1/tenants/{tenant}',
    '/v1/tenants/{tenant}/api-keys',
    '/v1/tenants/{tenant}/api-keys/{apiKey}/revoke',
    '/v1/tenants/{tenant}/hosts',
    '/v1/tenants/{tenant}/hosts/{host}',
    '/v1/tenants/{tenant}/memberships',
    '/v1/tenants/{tenant}/memberships/{membership}',
    '/v1/tenants/{tenant}/references',
    '/v1/topology',
  ])
  const text = JSON.stringify(document)
  const references = [...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name)
  t.ok(references.length > 10)
  for (const name of new Set(references)) t.ok(document.components.schemas[String(name)], `${name}`)
  for (const [path, operations] of Object.entries<Record<string, { security?: unknown; responses: object }>>(
    document.paths,
  )) {
    for (const operation of Object.values(operations)) {
      t.ok(operation.responses && 'default' in operation.responses, `${path} says how it refuses`)
      t.equal(operation.security !== undefined, path.startsWith('/v1/'), path)
    }
  }
  t.match(document.paths['/v1/tenants'].post.requestBody.content, { 'application/json': {} })
  const reader = await app.inject({ url: '/docs/', headers: { accept: 'text/html' } })
  t.match(reader.body, /swagger/i)
  t.notMatch(reader.body, /https?:\/\//, 'nothing is loaded from elsewhere')
})

t.test('wrong configuration is refused by name, and no value is repeated', async (t) => {
  const valid = api.environment
  t.match(readConfig({ ...valid, PORT: '', REDIS_URL: 'redis://localhost:6379' }), {
    PORT: 3000,
    HOST: '127.0.0.1',
  })
  for (const [variable, value] of [
    ['PORT', '70000'],
    ['PORT', 'http'],
    ['LOG_LEVEL', 'loud'],
    ['FREEHOLD_CATALOG_URL', 'mysql://root:hunter2hunter2@h/db'],
    ['FREEHOLD_CATALOG_URL', ''],
    ['FREEHOLD_OPERATOR_SECRET', 'hunter2hunter2'],
    ['FREEHOLD_ENTRY_SECRET', undefined],
    ['REDIS_URL', 'hunter2hunter2'],
    ['FREEHOLD_QUEUE_DATABASE_URL', undefined],
  ] as const) {
    try {
      readConfig({ ...valid, [variable]: value })
      t.fail(variable)
    } catch (error) {
      t.match(error, { code: 'config_invalid', issues: [{ path: variable }] }, `${variable}=${value}`)
      t.notMatch(String(error), 'hunter2')
    }
  }
})

t.end()
