import { randomUUID } from 'node:crypto'
import { startProcess } from '@freehold/local'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { z } from 'zod'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import { productApiEnvironment, productToken, startProductApi } from '../../../test/kit/product-api.ts'

const ground = await prepareMovingGround()
const catalogReader = ground.us.as('freehold_reader', 'freehold_catalog')
const api = await startProductApi(catalogReader)
t.teardown(async () => {
  await api.close()
  await ground.remove()
})

const acme = await ground.tenant('acme', 0)
const globex = await ground.tenant('globex', 0)

/** What tests read of answers by name; all of an answer is kept, to be held against what is expected. */
const bodySchema = z
  .looseObject({
    id: z.string(),
    created_at: z.string(),
    updated_at: z.string(),
    stock: z.number(),
    next_cursor: z.string().nullable(),
    issues: z.array(z.looseObject({ path: z.string() })),
    items: z.array(z.looseObject({ sku: z.string().optional() })),
    events: z.array(z.looseObject({ kind: z.string(), actor: z.string() })),
  })
  .partial()

interface Answer {
  readonly status: number
  readonly headers: Headers
  /** Empty when there is none. */
  readonly body: z.infer<typeof bodySchema>
}

async function call(
  token: string | undefined,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer> {
  const response = await fetch(`${api.baseUrl}${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? {} : bodySchema.parse(JSON.parse(text)),
  }
}

const as =
  (tenantId: string) =>
  (method: string, path: string, body?: unknown): Promise<Answer> =>
    call(productToken({ tenant: tenantId }), method, path, body)

const asAcme = as(acme.id)
const asGlobex = as(globex.id)

const microseconds = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/

t.test('answers a request without a good token with a problem document', async (t) => {
  const cases: [string, string | undefined, number, string][] = [
    ['no token', undefined, 401, 'unauthenticated'],
    ['a malformed token', 'not.a.token', 401, 'token_malformed'],
    ['an expired token', productToken({ tenant: acme.id, expiresInSeconds: -10 }), 401, 'token_expired'],
    [
      'a token that never expires',
      productToken({ tenant: acme.id, expiresInSeconds: 'never' }),
      401,
      'token_malformed',
    ],
    [
      'a token signed by somebody else',
      productToken({ tenant: acme.id }, 'x'.repeat(32)),
      401,
      'token_malformed',
    ],
    ['a token without a tenant', productToken({}), 403, 'forbidden'],
    ['a token of a tenant that does not exist', productToken({ tenant: randomUUID() }), 403, 'forbidden'],
  ]
  for (const [name, token, status, code] of cases) {
    const answer = await call(token, 'GET', '/customers')
    t.match(answer, { status, body: { code, status, type: `urn:freehold:error:${code}` } }, name)
    t.match(answer.headers.get('content-type'), 'application/problem+json', name)
  }
})

t.test('answers /healthz without a token, and an unknown route with a problem document', async (t) => {
  t.match(await call(undefined, 'GET', '/healthz'), { status: 200, body: { status: 'ok' } })
  t.match(await asAcme('GET', '/nowhere'), { status: 404, body: { code: 'route_not_found' } })
})

t.test('keeps customers', async (t) => {
  const id = randomUUID()
  const fields = {
    email: 'ada@example.test',
    name: 'Ada "the first" Löwe',
    born_on: '1990-02-28',
    address: { city: 'Köln', geo: { lat: 50.94, note: null } },
    labels: ['vip', 'with, comma', 'NULL'],
    credit_limit: '1234.5678',
  }
  const created = await asAcme('POST', '/customers', { id, ...fields })
  t.match(created, {
    status: 201,
    body: { id, ...fields, phone: null, newsletter: false, created_at: microseconds },
  })

  t.same((await asAcme('GET', `/customers/${id}`)).body, created.body)
  const changed = await asAcme('PATCH', `/customers/${id}`, { name: 'Ada', address: null, newsletter: true })
  t.match(changed, { status: 200, body: { ...fields, name: 'Ada', address: null, newsletter: true } })
  t.equal(changed.body.created_at, created.body.created_at)
  t.ok(`${changed.body.updated_at}` > `${created.body.updated_at}`, 'the trigger stamps the change')

  t.match(await asAcme('POST', '/customers', { id, email: 'b@example.test', name: 'B' }), {
    status: 409,
    body: { code: 'id_taken' },
  })
  t.match(await asAcme('POST', '/customers', { email: fields.email, name: 'B' }), {
    status: 409,
    body: { code: 'email_taken', type: 'urn:shop:error:email_taken' },
  })
  t.equal((await asAcme('DELETE', `/customers/${id}`)).status, 204)
  for (const method of ['GET', 'DELETE']) {
    t.match(await asAcme(method, `/customers/${id}`), { status: 404, body: { code: 'customer_not_found' } })
  }
})

t.test('refuses bad input, names the fields, and changes nothing', async (t) => {
  const cases: [string, string, unknown, string][] = [
    ['POST', '/customers', { email: 'nobody', name: 'N' }, 'body/email'],
    ['POST', '/customers', { email: 'n@example.test', name: 'N', tenant_id: globex.id }, 'body'],
    ['POST', '/customers', { email: 'n@example.test', name: 'N', credit_limit: '1e5' }, 'body/credit_limit'],
    ['PATCH', `/customers/${randomUUID()}`, {}, 'body'],
    ['GET', '/customers/17', undefined, 'params/id'],
    ['GET', '/customers?cursor=abc', undefined, 'querystring/cursor'],
    ['GET', '/customers?limit=0', undefined, 'querystring/limit'],
  ]
  for (const [method, path, body, at] of cases) {
    const answer = await asAcme(method, path, body)
    t.match(answer, { status: 400, body: { code: 'invalid_request' } }, `${method} ${path}`)
    t.equal(answer.body.issues?.[0]?.path, at)
  }
  t.match(await asAcme('POST', '/customers', '{"email":'), { status: 400, body: { code: 'invalid_request' } })
  const nullCharacter = { email: 'n@example.test', name: 'a\u0000b' }
  t.match(await asAcme('POST', '/customers', nullCharacter), {
    status: 400,
    body: { code: 'invalid_request' },
  })
  t.same((await asAcme('GET', '/customers')).body, { items: [], next_cursor: null })
})

t.test('pages newest first, each row once', async (t) => {
  for (let n = 0; n < 7; n++)
    await asAcme('POST', '/products', { sku: `page-${n}`, name: 'P', price: '1.00' })
  const seen: (string | undefined)[] = []
  let cursor: string | null = null
  do {
    const page: Answer = await asAcme('GET', `/products?limit=3${cursor === null ? '' : `&cursor=${cursor}`}`)
    seen.push(...(page.body.items ?? []).map(({ sku }) => sku))
    cursor = page.body.next_cursor ?? null
  } while (cursor !== null)
  t.same(
    seen,
    [6, 5, 4, 3, 2, 1, 0].map((n) => `page-${n}`),
  )
})

t.test('keeps products', async (t) => {
  const fields = {
    sku: 'K-1',
    name: 'Kettle',
    description: 'x'.repeat(20_000),
    price: '19.90',
    stock: 5,
    weight_kg: 1.25,
    attributes: { color: 'blue', sizes: [1, 2.5] },
    tags: ['new'],
    image_digest: 'ab'.repeat(32),
  }
  const { body: product, status } = await asAcme('POST', '/products', fields)
  t.equal(status, 201)
  t.match(product, { ...fields, currency: 'EUR' })
  t.match(await asAcme('PATCH', `/products/${product.id}`, { stock: 7 }), {
    status: 200,
    body: { ...fields, stock: 7 },
  })
  t.match(await asAcme('POST', '/products', { sku: 'K-1', name: 'K', price: '1' }), {
    body: { code: 'sku_taken' },
  })
  t.match(await asAcme('POST', '/products', { sku: 'K-2', name: 'K', price: '1', currency: 'XXX' }), {
    status: 422,
    body: { code: 'currency_unknown' },
  })
  t.equal((await asAcme('DELETE', `/products/${product.id}`)).status, 204)
  t.match(await asAcme('GET', `/products/${product.id}`), {
    status: 404,
    body: { code: 'product_not_found' },
  })
})

t.test('an order takes its pieces out of stock, and gives them back when cancelled', async (t) => {
  const customer = (await asAcme('POST', '/customers', { email: 'o@example.test', name: 'O' })).body.id
  const product = async (sku: string, price: string, currency = 'EUR') =>
    (await asAcme('POST', '/products', { sku, name: sku, price, currency, stock: 10 })).body.id
  const [first, second, dollars] = [
    await product('O-1', '10.05'),
    await product('O-2', '3'),
    await product('O-3', '1', 'USD'),
  ]
  const stock = async (id: string | undefined) => (await asAcme('GET', `/products/${id}`)).body.stock
  const order = (lines: object[], more: object = {}) =>
    asAcme('POST', '/orders', {
      customer_id: customer,
      currency: 'EUR',
      reference: 'R',
      actor: 'test',
      lines,
      ...more,
    })

  const id = randomUUID()
  const placed = await order(
    [
      { product_id: first, quantity: 3, discount: '0.15', options: { engraving: 'für Ö' } },
      { product_id: second, quantity: 2 },
      { product_id: first, quantity: 1 },
    ],
    { id, note: 'ring twice' },
  )
  t.match(placed, {
    status: 201,
    body: {
      id,
      number: /^\d+$/,
      status: 'placed',
      // 25.6275 is rounded by the line, not by the order.
      total: '41.68',
      placed_at: microseconds,
      lines: [
        { line_number: 1, sku: 'O-1', unit_price: '10.05', discount: '0.1500', line_total: '25.63' },
        { line_number: 2, sku: 'O-2', line_total: '6.00', options: null },
        { line_number: 3, sku: 'O-1', line_total: '10.05' },
      ],
      events: [{ kind: 'placed', actor: 'test', data: { lines: 3 }, occurred_at: microseconds }],
    },
  })
  t.same([await stock(first), await stock(second)], [6, 8])
  t.same((await asAcme('GET', `/orders/${id}`)).body, placed.body)

  const refusals: [string, number, Promise<Answer>][] = [
    [
      'out_of_stock',
      409,
      order([
        { product_id: second, quantity: 1 },
        { product_id: first, quantity: 7 },
      ]),
    ],
    ['product_unknown', 422, order([{ product_id: randomUUID(), quantity: 1 }])],
    ['currencies_differ', 422, order([{ product_id: dollars, quantity: 1 }])],
    ['customer_unknown', 422, order([{ product_id: first, quantity: 1 }], { customer_id: randomUUID() })],
    ['id_taken', 409, order([{ product_id: first, quantity: 1 }], { id })],
    ['in_use', 409, asAcme('DELETE', `/customers/${customer}`)],
    ['in_use', 409, asAcme('DELETE', `/products/${first}`)],
    ['status_not_allowed', 409, asAcme('PATCH', `/orders/${id}`, { status: 'shipped', actor: 'test' })],
    ['order_not_cancelled', 409, asAcme('DELETE', `/orders/${id}`)],
  ]
  for (const [code, status, answer] of refusals)
    t.match(await answer, { status, body: { code, status } }, code)
  t.same([await stock(first), await stock(second)], [6, 8], 'a refused order takes nothing')

  t.match(await asAcme('PATCH', `/orders/${id}`, { status: 'paid', actor: 'till' }), { status: 200 })
  const cancelled = await asAcme('PATCH', `/orders/${id}`, { status: 'cancelled', actor: 'clerk' })
  t.same(
    cancelled.body.events?.map(({ kind, actor }) => [kind, actor]),
    [
      ['placed', 'test'],
      ['paid', 'till'],
      ['cancelled', 'clerk'],
    ],
  )
  t.same([await stock(first), await stock(second)], [10, 10])

  t.match(await asAcme('GET', `/orders?status=cancelled&customer_id=${customer}`), {
    body: { items: [{ id }] },
  })
  t.match(await asAcme('GET', '/orders?status=placed'), { body: { items: [] } })
  t.equal((await asAcme('DELETE', `/orders/${id}`)).status, 204)
  for (const request of [asAcme('GET', `/orders/${id}`), asAcme('DELETE', `/orders/${id}`)]) {
    t.match(await request, { status: 404, body: { code: 'order_not_found' } })
  }
})

t.test('reports what sold for most', async (t) => {
  const customer = (await asGlobex('POST', '/customers', { email: 'r@example.test', name: 'R' })).body.id
  for (const [sku, quantity] of [
    ['R-1', 1],
    ['R-2', 4],
  ] as const) {
    const body = { sku, name: sku, price: '2.50', stock: 10 }
    const product = (await asGlobex('POST', '/products', body)).body.id
    const lines = [{ product_id: product, quantity }]
    await asGlobex('POST', '/orders', {
      customer_id: customer,
      currency: 'EUR',
      reference: 'R',
      actor: 'test',
      lines,
    })
  }
  t.same((await asGlobex('GET', '/reports/sales')).body.items, [
    { sku: 'R-2', currency: 'EUR', orders: '1', pieces: '4', revenue: '10.00' },
    { sku: 'R-1', currency: 'EUR', orders: '1', pieces: '1', revenue: '2.50' },
  ])
  t.match(await asGlobex('GET', '/reports/sales?limit=1'), { body: { items: [{ sku: 'R-2' }] } })
})

t.test('tenants with the same ids and names see their own rows only', async (t) => {
  const id = randomUUID()
  await asAcme('POST', '/customers', { id, email: 'same@example.test', name: 'of acme' })
  await asGlobex('POST', '/customers', { id, email: 'same@example.test', name: 'of globex' })
  await asAcme('PATCH', `/customers/${id}`, { phone: '1' })
  t.match((await asGlobex('GET', `/customers/${id}`)).body, { name: 'of globex', phone: null })
  t.equal((await asGlobex('DELETE', `/customers/${id}`)).status, 204)
  t.match((await asAcme('GET', `/customers/${id}`)).body, { name: 'of acme', phone: '1' })
})

t.test('reads go on and writes wait while the tenant is switched to another placement', async (t) => {
  const customer = (await asAcme('POST', '/customers', { email: 'w@example.test', name: 'W' })).body.id
  const fence = (change: string) =>
    withClient(asSuperuser(ground.us.cluster, 'pool'), 'test', (client) =>
      client.query(`update freehold.resident set ${change} where tenant_id = $1`, [acme.id]),
    )
  await fence(
    "state = 'fenced', fence_token = gen_random_uuid(), fence_expires_at = now() + interval '1 minute'",
  )
  let written = false
  const write = asAcme('PATCH', `/customers/${customer}`, { name: 'held' }).finally(() => {
    written = true
  })
  for (const path of [
    '/customers',
    '/products',
    '/orders',
    `/customers/${customer}`,
    `/products/${randomUUID()}`,
    `/orders/${randomUUID()}`,
    '/orders?status=paid&limit=1',
    '/reports/sales',
  ]) {
    t.ok([200, 404].includes((await asAcme('GET', path)).status), `GET ${path}`)
  }
  t.notOk(written, 'the write waits')
  await fence("state = 'active', fence_token = null, fence_expires_at = null")
  t.match(await write, { status: 200, body: { name: 'held' } })
})

t.test('runs as a process, and answers the requests under way before it ends', async (t) => {
  const entry = new URL('../src/main.ts', import.meta.url)
  const env = { ...process.env, ...productApiEnvironment(catalogReader), LOG_LEVEL: 'info' } as Record<
    string,
    string
  >
  const server = await startProcess({ name: 'product-api', entry, env, ready: /listening at (http[^"]+)/ })
  const response = await fetch(`${server.readyMatch[1]}/customers?limit=1`, {
    headers: { authorization: `Bearer ${productToken({ tenant: acme.id })}` },
  })
  t.equal(response.status, 200)
  await response.text()
  t.same(await server.stop(), { code: 0, signal: null })

  const start = startProcess({
    name: 'product-api',
    entry,
    env: { ...env, PORT: 'http' },
    ready: /listening/,
  })
  await t.rejects(start, { message: /config_invalid: .*PORT/ })
})
