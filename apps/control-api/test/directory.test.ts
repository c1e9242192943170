import {
  apiKeyPageSchema,
  apiKeySchema,
  createdApiKeySchema,
  membershipPageSchema,
  membershipSchema,
  problemSchema,
  tenantHostPageSchema,
  tenantHostSchema,
} from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import { buildTestControlApi } from '../../../test/kit/control-api.ts'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { prepareMovingGround } from '../../../test/kit/moving-ground.ts'

const ground = await prepareMovingGround()
const api = await buildTestControlApi(ground)
t.teardown(async () => {
  await api.close()
  await ground.remove()
})

const acme = await ground.tenant('acme', 0)
await ground.tenant('globex', 0)

type Answer = Awaited<ReturnType<typeof api.app.inject>>
type Method = 'GET' | 'POST' | 'DELETE'

const call = (
  method: Method,
  path: string,
  payload?: object,
  { key, role }: { key?: string; role?: 'viewer' | 'operator' } = {},
) =>
  api.app.inject({
    method,
    url: `/v1/tenants/${path}`,
    headers: { authorization: `Bearer ${api.token(role)}`, ...(key && { 'idempotency-key': key }) },
    ...(payload && { payload }),
  })

function refused(t: Test, answer: Answer, status: number, code: string, attempt: string) {
  t.equal(answer.statusCode, status, attempt)
  t.equal(answer.headers['content-type'], 'application/problem+json', attempt)
  const problem = problemSchema.parse(answer.json())
  t.equal(problem.code, code, attempt)
  return problem
}

t.test('hosts', async (t) => {
  const added = await call('POST', 'acme/hosts', { host: 'Shop.ACME.example.' })
  t.equal(added.statusCode, 201)
  const host = tenantHostSchema.parse(added.json())
  t.equal(host.host, 'shop.acme.example', 'kept in one form')
  const foreign = await call('POST', 'acme/hosts', { host: 'bücher.example' })
  t.equal(tenantHostSchema.parse(foreign.json()).host, 'xn--bcher-kva.example')

  for (const same of ['shop.acme.example', 'SHOP.acme.example']) {
    refused(t, await call('POST', 'globex/hosts', { host: same }), 409, 'host_taken', same)
  }
  const first = tenantHostPageSchema.parse((await call('GET', 'acme/hosts?limit=1')).json())
  t.same(first.items, [host])
  const second = await call('GET', `acme/hosts?limit=1&cursor=${first.nextCursor}`)
  t.match(second.json(), { items: [{ host: 'xn--bcher-kva.example' }], nextCursor: null })
  t.same((await call('GET', 'globex/hosts')).json(), { items: [], nextCursor: null })

  refused(t, await call('DELETE', `globex/hosts/${host.id}`), 404, 'host_not_found', "another tenant's host")
  t.equal((await call('DELETE', `${acme.id}/hosts/${host.id}`)).statusCode, 204, 'by the id of the tenant')
  refused(t, await call('DELETE', `acme/hosts/${host.id}`), 404, 'host_not_found', 'once is enough')
  t.equal((await call('POST', 'globex/hosts', { host: 'shop.acme.example' })).statusCode, 201, 'free again')
})

t.test('hosts that are none', async (t) => {
  const hosts = [
    '',
    'localhost',
    '127.0.0.1',
    '1.2',
    '[::1]',
    '::1',
    'a.example:8080',
    'http://a.example',
    'a.example/path',
    'user@a.example',
    'a b.example',
    'a_b.example',
    '-a.example',
    'a..example',
    '.example',
    '*.example.com',
    "a.example'; drop table catalog.tenant_hosts; --",
    'a%2eexample.com',
    'a\0.example',
    'xn--a.example'.padStart(300, 'a'),
    `${'a'.repeat(64)}.example`,
    'x'.repeat(10_000),
  ]
  for (const host of hosts) {
    const problem = refused(
      t,
      await call('POST', 'acme/hosts', { host }),
      400,
      'invalid_request',
      JSON.stringify(host.slice(0, 60)),
    )
    t.match(problem.issues, [{ path: 'body/host' }])
  }
  refused(t, await call('POST', 'acme/hosts', { host: 42 }), 400, 'invalid_request', 'a number')
  refused(
    t,
    await call('POST', 'acme/hosts', { host: 'a.example', tenant: 'globex' }),
    400,
    'invalid_request',
    'more',
  )
  refused(t, await call('GET', "acme/hosts?cursor=' or 1"), 400, 'invalid_request', 'a made-up cursor')
  refused(t, await call('DELETE', 'acme/hosts/1%20or%201'), 400, 'invalid_request', 'no id')
})

t.test('API keys', async (t) => {
  const asked = { name: ' Nightly export ', scopes: ['orders:read'], expiresAt: '2999-01-01T00:00:00Z' }
  const answer = await call('POST', 'acme/api-keys', asked)
  t.equal(answer.statusCode, 201)
  t.equal(answer.headers['cache-control'], 'no-store')
  const { key, ...shown } = createdApiKeySchema.parse(answer.json())
  t.match(key, /^fh_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/)
  t.match(shown, { name: 'Nightly export', scopes: ['orders:read'], createdBy: 'test-operator' })
  t.match(shown, { expiresAt: '2999-01-01T00:00:00.000Z', revokedAt: null })
  t.equal(key?.split('_')[1], shown.prefix)

  const listed = await call('GET', 'acme/api-keys')
  t.same(apiKeyPageSchema.parse(listed.json()).items, [shown])
  t.notMatch(listed.body, key, 'shown once')
  const stored = await withClient(asSuperuser(ground.us.cluster, 'freehold_catalog'), 'test', (client) =>
    client.query('select row_to_json(api_keys)::text as row from catalog.api_keys'),
  )
  t.equal(stored.rows.length, 1)
  t.notMatch(stored.rows[0].row, key?.split('_')[2], 'its digest is kept, and not itself')
  t.notMatch(api.log.join(''), key?.split('_')[2], 'nor is it logged')

  const last = createdApiKeySchema.parse((await call('POST', 'acme/api-keys', { name: 'b' })).json())
  t.match(last, { scopes: [], expiresAt: null })
  const page = apiKeyPageSchema.parse((await call('GET', 'acme/api-keys?limit=1')).json())
  t.equal(page.items[0]?.id, last.id, 'newest first')
  t.same((await call('GET', `acme/api-keys?limit=1&cursor=${page.nextCursor}`)).json(), {
    items: [shown],
    nextCursor: null,
  })

  const revoke = `acme/api-keys/${shown.id}/revoke`
  refused(
    t,
    await call('POST', revoke.replace('acme', 'globex')),
    404,
    'api_key_not_found',
    "another tenant's key",
  )
  const revoked = apiKeySchema.parse((await call('POST', revoke)).json())
  t.ok(revoked.revokedAt)
  t.same((await call('POST', revoke)).json(), revoked, 'the first time stays')
})

t.test('API keys that cannot be', async (t) => {
  const cases: [string, object, string][] = [
    ['no name', {}, 'body/name'],
    ['an empty name', { name: ' ' }, 'body/name'],
    ['a NUL', { name: 'a\0' }, 'body/name'],
    ['a long name', { name: 'x'.repeat(201) }, 'body/name'],
    ['a scope with a space', { name: 'a', scopes: ['a b'] }, 'body/scopes/0'],
    ['too many scopes', { name: 'a', scopes: Array(33).fill('a') }, 'body/scopes'],
    ['an expiry that is no time', { name: 'a', expiresAt: 'soon' }, 'body/expiresAt'],
    ['an expiry in the past', { name: 'a', expiresAt: '2020-01-01T00:00:00Z' }, 'body/expiresAt'],
    ['a key of the own choice', { name: 'a', key: 'fh_mine' }, 'body'],
  ]
  for (const [attempt, payload, path] of cases) {
    const problem = refused(t, await call('POST', 'acme/api-keys', payload), 400, 'invalid_request', attempt)
    t.match(problem.issues, [{ path }], attempt)
  }
})

t.test('memberships', async (t) => {
  const subject = 'auth0|Ada / Lovelace'
  const answer = await call('POST', 'acme/memberships', { subject, role: 'admin' })
  t.equal(answer.statusCode, 201)
  const membership = membershipSchema.parse(answer.json())
  refused(
    t,
    await call('POST', 'acme/memberships', { subject, role: 'viewer' }),
    409,
    'membership_exists',
    'a second role',
  )
  t.equal((await call('POST', 'globex/memberships', { subject, role: 'viewer' })).statusCode, 201)
  await call('POST', 'acme/memberships', { subject: 'zoe', role: 'viewer' })
  const page = membershipPageSchema.parse((await call('GET', 'acme/memberships?limit=1')).json())
  t.same(page.items, [membership])
  const rest = await call(
    'GET',
    `acme/memberships?limit=1&cursor=${encodeURIComponent(page.nextCursor ?? '')}`,
  )
  t.match(rest.json(), { items: [{ subject: 'zoe' }], nextCursor: null })

  const path = `acme/memberships/${membership.id}`
  refused(t, await call('DELETE', path.replace('acme', 'globex')), 404, 'membership_not_found', 'elsewhere')
  t.equal((await call('DELETE', path)).statusCode, 204)
  refused(t, await call('DELETE', path), 404, 'membership_not_found', 'again')

  const cases: [string, object, string][] = [
    ['no subject', { role: 'admin' }, 'body/subject'],
    ['an empty subject', { subject: '', role: 'admin' }, 'body/subject'],
    ['a NUL', { subject: 'a\0', role: 'admin' }, 'body/subject'],
    ['a long subject', { subject: 'x'.repeat(256), role: 'admin' }, 'body/subject'],
    ['a role in capitals', { subject: 'a', role: 'Admin' }, 'body/role'],
    ['SQL for a role', { subject: 'a', role: "x'; --" }, 'body/role'],
  ]
  for (const [attempt, payload, field] of cases) {
    const problem = refused(
      t,
      await call('POST', 'acme/memberships', payload),
      400,
      'invalid_request',
      attempt,
    )
    t.match(problem.issues, [{ path: field }], attempt)
  }
})

t.test('sent again, nothing more is made', async (t) => {
  const requests: [string, object][] = [
    ['hosts', { host: 'again.example.com' }],
    ['api-keys', { name: 'again' }],
    ['memberships', { subject: 'again', role: 'viewer' }],
  ]
  for (const [list, payload] of requests) {
    const key = `key-${list}`
    const both = await Promise.all([1, 2].map(() => call('POST', `acme/${list}`, payload, { key })))
    t.same(both.map(({ statusCode }) => statusCode).sort(), [200, 201], list)
    const [one, other] = both.map((answer) => ({ ...answer.json(), key: undefined }))
    t.same(one, other, list)
    const elsewhere = await call('POST', `globex/${list}`, payload, { key })
    refused(t, elsewhere, 422, 'idempotency_key_reused', `${list} of another tenant`)
    t.notMatch(elsewhere.body, one?.id)
  }
  const again = await call('POST', 'acme/api-keys', { name: 'again' }, { key: 'key-api-keys' })
  t.equal(createdApiKeySchema.parse(again.json()).key, null, 'the key itself was in the first answer only')
})

t.test('who may do it, and to whom', async (t) => {
  const id = '00000000-0000-4000-8000-000000000000'
  const writes: [Method, string, object?][] = [
    ['POST', 'hosts', { host: 'viewer.example.com' }],
    ['DELETE', `hosts/${id}`],
    ['POST', 'api-keys', { name: 'viewer' }],
    ['POST', `api-keys/${id}/revoke`],
    ['POST', 'memberships', { subject: 'viewer', role: 'viewer' }],
    ['DELETE', `memberships/${id}`],
  ]
  for (const [method, path, payload] of writes) {
    const viewer = await call(method, `acme/${path}`, payload, { role: 'viewer' })
    refused(t, viewer, 403, 'forbidden', `${method} ${path}`)
    const nobody = await call(method, `nobody/${path}`, payload)
    refused(t, nobody, 404, 'tenant_not_found', `${method} ${path}`)
    const anonymous = await api.app.inject({ method, url: `/v1/tenants/acme/${path}` })
    refused(t, anonymous, 401, 'unauthenticated', `${method} ${path}`)
  }
  for (const list of ['hosts', 'api-keys', 'memberships']) {
    t.equal((await call('GET', `acme/${list}`, undefined, { role: 'viewer' })).statusCode, 200, list)
    refused(t, await call('GET', `nobody/${list}`), 404, 'tenant_not_found', list)
    refused(t, await call('GET', `acme/${list}?limit=0`), 400, 'invalid_request', list)
  }
})
