import { createHmac, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import fastifyJwt from '@fastify/jwt'
import { dataDatabaseIdSchema, problemSchema, type TenantId } from '@freehold/contract'
import { createRouter } from '@freehold/tenancy'
import {
  freehold,
  fromToken,
  type IdentityProviderOptions,
  identityProvider,
} from '@freehold/tenancy/fastify'
import fastify from 'fastify'
import t, { type Test } from 'tap'
import { ControlledSource, newTenantId, routeTo, testEntrySecret } from '../../../test/kit/tenants.ts'

const nowhere = {
  host: '127.0.0.1',
  port: 1,
  database: 'x',
  user: 'x',
  password: 'x',
  tls: 'disable',
} as const

interface SigningKey {
  readonly kid: string
  readonly alg: 'RS256' | 'ES256'
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

function newKey(kid: string, alg: SigningKey['alg'], bits = 2048): SigningKey {
  const pair =
    alg === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: bits })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { kid, alg, ...pair }
}

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A token by hand, also such as no library would sign. */
function signed(key: SigningKey, claims: object, header: object = {}): string {
  const input = `${part({ alg: key.alg, typ: 'JWT', kid: key.kid, ...header })}.${part(claims)}`
  const signature = sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}

/** The provider: a real server that can rotate its keys, fail, and be slow. */
async function startProvider(t: Test, ...first: SigningKey[]) {
  const state = {
    keys: first,
    fetches: 0,
    discoveries: 0,
    /** Instead of an answer. */
    mode: 'well' as 'well' | 'failing' | 'garbage' | 'silent' | 'elsewhere',
  }
  const server = createServer((request, response) => {
    const isDiscovery = request.url === '/.well-known/openid-configuration'
    if (isDiscovery) state.discoveries++
    else state.fetches++
    if (state.mode === 'silent') return
    if (state.mode === 'failing') return void response.writeHead(500).end('{"keys":[]}')
    if (state.mode === 'garbage') return void response.end('<html>')
    if (state.mode === 'elsewhere') return void response.writeHead(302, { location: `${issuer}/other` }).end()
    if (isDiscovery) return void response.end(JSON.stringify({ issuer, jwks_uri: `${issuer}/keys` }))
    const keys = state.keys.map(({ kid, alg, publicKey }) => ({
      ...publicKey.export({ format: 'jwk' }),
      kid,
      alg,
      use: 'sig',
    }))
    response.end(JSON.stringify({ keys }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const stop = () => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  }
  t.teardown(stop)
  return { state, issuer, stop }
}

const source = new ControlledSource()
const tenant: TenantId = newTenantId()
source.routes.set(tenant, routeTo({ app: nowhere, id: dataDatabaseIdSchema.parse(randomUUID()) }, tenant))
const router = createRouter({ source, entrySecret: testEntrySecret })
t.teardown(() => router.close())

async function product(t: Test, issuer: string, options: Partial<IdentityProviderOptions> = {}) {
  const log: string[] = []
  const app = fastify({ logger: { level: 'trace', stream: { write: (line) => void log.push(line) } } })
  t.teardown(() => app.close())
  await app.register(fastifyJwt, identityProvider({ issuer, audience: 'shop', ...options }))
  await app.register(freehold, { router, resolve: [fromToken({ claim: 'org_id' })] })
  app.get('/me', (request) => ({ tenant: request.tenant.id }))
  return {
    log,
    async get(token: string) {
      const answer = await app.inject({ url: '/me', headers: { authorization: `Bearer ${token}` } })
      const code = answer.statusCode === 200 ? undefined : problemSchema.parse(answer.json()).code
      return { status: answer.statusCode, code, retryAfter: answer.headers['retry-after'] }
    },
  }
}

const now = () => Math.floor(Date.now() / 1000)
const claims = (issuer: string, rest: object = {}) => ({
  iss: issuer,
  aud: 'shop',
  sub: 'ada',
  org_id: tenant,
  iat: now(),
  exp: now() + 300,
  ...rest,
})
const malformed = { status: 401, code: 'token_malformed' }
const unavailable = { status: 503, code: 'identity_provider_unavailable', retryAfter: '1' }

const rsa = newKey('rsa-1', 'RS256')
const ec = newKey('ec-1', 'ES256')

t.test('tokens of the provider open their tenant', async (t) => {
  const { issuer, state } = await startProvider(t, rsa, ec)
  const shop = await product(t, issuer, { jwksUri: `${issuer}/keys` })
  const both = await Promise.all([rsa, ec, rsa, ec].map((key) => shop.get(signed(key, claims(issuer)))))
  t.match(both, Array(4).fill({ status: 200 }))
  t.match(await shop.get(signed(rsa, claims(issuer, { aud: ['other', 'shop'] }))), { status: 200 })
  t.same([state.fetches, state.discoveries], [1, 0], 'the keys are fetched once')

  const discovering = await product(t, issuer)
  t.match(await discovering.get(signed(ec, claims(issuer))), { status: 200 })
  t.match(await discovering.get(signed(rsa, claims(issuer))), { status: 200 })
  t.same([state.fetches, state.discoveries], [2, 1], 'and so is where they are')

  const onlyEc = await product(t, issuer, { algorithms: ['ES256'] })
  t.match(await onlyEc.get(signed(ec, claims(issuer))), { status: 200 })
  t.match(await onlyEc.get(signed(rsa, claims(issuer))), malformed)
})

t.test('tokens that open nothing', async (t) => {
  const { issuer, state } = await startProvider(t, rsa, ec)
  const shop = await product(t, issuer, { cooldownMs: 600_000 })
  const good = claims(issuer)
  const [header = '', payload = '', signature = ''] = signed(rsa, good).split('.')
  const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' })
  const jwk = JSON.stringify(rsa.publicKey.export({ format: 'jwk' }))
  const hmac = (secret: string | Buffer, alg = 'HS256') => {
    const input = `${part({ alg, typ: 'JWT', kid: rsa.kid })}.${part(good)}`
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
  }
  const none = (alg: string) => `${part({ alg, kid: rsa.kid })}.${part(good)}.`
  const stranger = newKey('rsa-1', 'RS256')
  const cases: [string, string, object][] = [
    ['expired', signed(rsa, { ...good, exp: now() - 10 }), { status: 401, code: 'token_expired' }],
    ['without an expiry', signed(rsa, { ...good, exp: undefined }), malformed],
    ['an expiry that is no number', signed(rsa, { ...good, exp: 'never' }), malformed],
    ['not valid yet', signed(rsa, { ...good, nbf: now() + 300 }), malformed],
    ['another audience', signed(rsa, { ...good, aud: 'bank' }), malformed],
    ['no audience', signed(rsa, { ...good, aud: undefined }), malformed],
    ['an audience that is no text', signed(rsa, { ...good, aud: { shop: 1 } }), malformed],
    ['another issuer', signed(rsa, { ...good, iss: 'https://evil.example' }), malformed],
    ['an issuer that begins alike', signed(rsa, { ...good, iss: `${issuer}.evil.example` }), malformed],
    ['no issuer', signed(rsa, { ...good, iss: undefined }), malformed],
    ["another's key under the same id", signed(stranger, good), malformed],
    ['an unknown key id', signed(rsa, good, { kid: 'rsa-9' }), malformed],
    ['no key id, and one key that fits', signed(rsa, good, { kid: undefined }), { status: 200 }],
    ['a path for a key id', signed(rsa, good, { kid: '../../../../dev/null' }), malformed],
    ['SQL for a key id', signed(rsa, good, { kid: "' union select 'a' --" }), malformed],
    ['a key id with NUL', signed(rsa, good, { kid: 'rsa-1\0' }), malformed],
    ['a key id that is no text', signed(rsa, good, { kid: ['rsa-1'] }), malformed],
    ['a key id as long as a book', signed(rsa, good, { kid: 'k'.repeat(9_000) }), malformed],
    [
      'a key of its own',
      signed(stranger, good, { kid: 'x', jwk: stranger.publicKey.export({ format: 'jwk' }) }),
      malformed,
    ],
    ['keys from elsewhere', signed(stranger, good, { kid: 'x', jku: 'http://127.0.0.1:1/' }), malformed],
    ['no algorithm', none('none'), malformed],
    ['no algorithm, shouted', none('NONE'), malformed],
    ['no algorithm, but a signature', `${none('none')}${signature}`, malformed],
    ['no signature', `${header}.${payload}.`, malformed],
    ['HS256 by the public key as PEM', hmac(String(pem)), malformed],
    ['HS256 by the public key as PEM, trimmed', hmac(String(pem).trim()), malformed],
    ['HS256 by the public key as JWK', hmac(jwk), malformed],
    ['HS256 by nothing', hmac(''), malformed],
    ['RS256 in the header, HMAC for a signature', hmac(String(pem), 'RS256'), malformed],
    ['the key of another algorithm', signed(ec, good, { kid: rsa.kid, alg: 'RS256' }), malformed],
    ['RS384', signed(rsa, good, { alg: 'RS384' }), malformed],
    ['a critical extension', signed(rsa, good, { crit: ['exp2'], exp2: 1 }), malformed],
    [
      'claims that were changed',
      `${header}.${part({ ...good, org_id: newTenantId() })}.${signature}`,
      malformed,
    ],
    ['cut short', signed(rsa, good).slice(0, -4), malformed],
    ['oversized', signed(rsa, { ...good, padding: 'x'.repeat(100_000) }), malformed],
    ['not a token', 'rubbish', malformed],
    ['three parts of nothing', 'a.b.c', malformed],
    ['nothing but dots', '..', malformed],
    ['claims that are no object', signed(rsa, ['a'] as object), malformed],
    ['no tenant', signed(rsa, { ...good, org_id: undefined }), { status: 403, code: 'forbidden' }],
    [
      'a tenant that is no text',
      signed(rsa, { ...good, org_id: { a: 1 } }),
      { status: 403, code: 'forbidden' },
    ],
    ['SQL for a tenant', signed(rsa, { ...good, org_id: "' or 1=1" }), { status: 403, code: 'forbidden' }],
    [
      'an unknown tenant',
      signed(rsa, { ...good, org_id: newTenantId() }),
      { status: 403, code: 'forbidden' },
    ],
  ]
  t.match(await shop.get(signed(rsa, good)), { status: 200 })
  for (const [attempt, token, expected] of cases) {
    t.match(await shop.get(token), expected, attempt)
  }
  t.equal(state.fetches, 1, 'no made-up key id has caused another request to the provider')

  const logged = shop.log.join('')
  for (const [attempt, token] of cases) {
    const secret = token.split('.')[2] ?? ''
    if (secret.length > 10) t.notOk(logged.includes(secret), `not logged: ${attempt}`)
  }
})

t.test('keys are rotated', async (t) => {
  const [old, next] = [newKey('key-1', 'RS256'), newKey('key-2', 'ES256')]
  const { issuer, state } = await startProvider(t, old)
  const cooldownMs = 1_000
  const shop = await product(t, issuer, { jwksUri: `${issuer}/keys`, cooldownMs })
  t.match(await shop.get(signed(old, claims(issuer))), { status: 200 })
  state.keys = [old, next]
  await sleep(cooldownMs + 100)
  t.match(await shop.get(signed(next, claims(issuer))), { status: 200 }, 'a new key is found at once')
  t.match(await shop.get(signed(old, claims(issuer))), { status: 200 }, 'the old one is good meanwhile')
  t.equal(state.fetches, 2)

  state.keys = [next]
  await sleep(cooldownMs + 100)
  const unknown = newKey('key-3', 'RS256')
  const before = state.fetches
  const begun = performance.now()
  const flood = await Promise.all(Array.from({ length: 50 }, () => shop.get(signed(unknown, claims(issuer)))))
  t.match(flood, Array(50).fill(malformed))
  if (performance.now() - begun < cooldownMs) t.equal(state.fetches, before + 1, 'asked once a cooldown')
  t.match(await shop.get(signed(old, claims(issuer))), malformed, 'a withdrawn key is gone')
  t.match(await shop.get(signed(next, claims(issuer))), { status: 200 })
})

t.test('a withdrawn key is gone in time, though no unknown key is seen', async (t) => {
  const [old, next] = [newKey('key-1', 'RS256'), newKey('key-2', 'RS256')]
  const { issuer, state } = await startProvider(t, old)
  const shop = await product(t, issuer, { maxAgeMs: 500 })
  t.match(await shop.get(signed(old, claims(issuer))), { status: 200 })
  state.keys = [next]
  await sleep(600)
  t.match(await shop.get(signed(old, claims(issuer))), malformed)
})

t.test('a provider that does not answer', async (t) => {
  const { issuer, state, stop } = await startProvider(t, rsa)
  const token = signed(rsa, claims(issuer))
  for (const jwksUri of [undefined, `${issuer}/keys`]) {
    for (const mode of ['failing', 'garbage', 'silent', 'elsewhere'] as const) {
      state.mode = mode
      const shop = await product(t, issuer, { timeoutMs: 2_000, ...(jwksUri && { jwksUri }) })
      t.match(await shop.get(token), unavailable, mode)
      const asked = state.fetches + state.discoveries
      const begun = performance.now()
      const again = await Promise.all(Array.from({ length: 20 }, () => shop.get(token)))
      t.match(again, Array(20).fill(unavailable))
      const isResting = performance.now() - begun < 500 && mode !== 'garbage'
      if (isResting)
        t.equal(state.fetches + state.discoveries, asked, `${mode}: it is left alone for a while`)
      t.match(await shop.get('rubbish'), malformed, 'what cannot be good is refused all the same')
      state.mode = 'well'
      await sleep(1_100)
      t.match(await shop.get(token), { status: 200 }, 'it is back')
    }
  }
  const known = await product(t, issuer)
  t.match(await known.get(token), { status: 200 })
  await stop()
  t.match(await known.get(token), { status: 200 }, 'known keys outlive the provider')
  const fresh = await product(t, issuer)
  for (const alg of ['none', 'HS256', 'RS384', '']) {
    t.match(await fresh.get(signed(rsa, claims(issuer), { alg })), malformed, 'no key is needed to refuse it')
  }
  t.match(await fresh.get(token), unavailable)
})

t.test('a weak key, and a discovery document of somebody else', async (t) => {
  const weak = newKey('weak', 'RS256', 1024)
  const { issuer } = await startProvider(t, weak)
  const shop = await product(t, issuer)
  t.match(await shop.get(signed(weak, claims(issuer))), unavailable)
  const other = `${issuer}/`
  const mistaken = await product(t, other)
  t.match(
    await mistaken.get(signed(weak, claims(other))),
    unavailable,
    'the issuer is compared to the letter',
  )
})

t.test('what is configured wrongly is said at once', async (t) => {
  const good = { issuer: 'https://login.example/', audience: 'shop' }
  t.ok(identityProvider(good))
  const wrong: [RegExp, object][] = [
    [/issuer/, { issuer: 'login.example' }],
    [/issuer: must be an https/, { issuer: 'http://login.example' }],
    [/jwksUri: must be an https/, { jwksUri: 'http://login.example/keys' }],
    [/jwksUri/, { jwksUri: 'file:///etc/passwd' }],
    [/audience/, { audience: '' }],
    [/audience/, { audience: [] }],
    [/algorithms/, { algorithms: [] }],
    [/algorithms/, { algorithms: ['HS256'] }],
    [/algorithms/, { algorithms: ['none'] }],
    [/cooldownMs/, { cooldownMs: 0 }],
    [/audiences/, { audiences: 'shop' }],
  ]
  for (const [message, options] of wrong) {
    t.throws(
      () => identityProvider({ ...good, ...options }),
      { code: 'config_invalid', message },
      String(message),
    )
  }
})
