import {
  problemSchema,
  tenantDetailSchema,
  tenantPageSchema,
  tenantSchema,
  topologySchema,
} from '@freehold/contract'
import t from 'tap'
import { prepareApiGround, toEu } from './api-ground.ts'

const ground = await prepareApiGround()
t.teardown(() => ground.remove())
const { get, post, abort, asRoot } = ground

t.test('a tenant is created in catalog and pool together', async (t) => {
  const answer = await post('/v1/tenants', { slug: 'acme', name: ' Acme ', region: 'us', residency: 'us' })
  t.equal(answer.statusCode, 201)
  const tenant = tenantSchema.parse(answer.json())
  t.match(tenant, { slug: 'acme', name: 'Acme', tier: 'free', residency: 'us', activeMoveId: null })
  const resident = await asRoot(
    'pool',
    'select epoch::int, state from freehold.resident where tenant_id = $1',
    [tenant.id],
  )
  t.same(resident.rows, [{ epoch: 1, state: 'active' }])

  for (const id of ['acme', tenant.id]) {
    const detail = tenantDetailSchema.parse((await get(`/v1/tenants/${id}`)).json())
    t.match(detail, { ...tenant, placements: [{ current: true }] })
  }
  t.same(tenantPageSchema.parse((await get('/v1/tenants?search=ACM')).json()).items, [tenant])
  topologySchema.parse((await get('/v1/topology')).json())
})

t.test('a request that is sent again creates nothing more', async (t) => {
  const asked = { slug: 'once', name: 'Once', region: 'us' }
  const first = await post('/v1/tenants', asked, 'key-1')
  t.equal(first.statusCode, 201)
  const again = await post('/v1/tenants', { region: 'us', name: 'Once', slug: 'once', tier: 'free' }, 'key-1')
  t.equal(again.statusCode, 200)
  t.same(again.json(), first.json(), 'the same request, however it is written')
  const other = await post('/v1/tenants', { ...asked, slug: 'twice' }, 'key-1')
  t.match(other.json(), { status: 422, code: 'idempotency_key_reused' })
  t.match((await post('/v1/moves', toEu('once'), 'key-1')).json(), { code: 'idempotency_key_reused' })

  const both = await Promise.all([1, 2, 3].map(() => post('/v1/moves', toEu('once'), 'key-2')))
  t.same(
    both.map(({ statusCode }) => statusCode),
    [202, 202, 202],
  )
  t.equal(new Set(both.map((answer) => answer.json().id)).size, 1)
  await abort(both[0]?.json().id)
  t.match(
    (await post('/v1/moves', toEu('once'), 'key-2')).json(),
    { phase: 'aborted' },
    'also when it has ended',
  )
})

t.test('a tenant that may not be created leaves no trace', async (t) => {
  const residents = async () => (await asRoot('pool', 'select from freehold.resident')).rowCount
  const before = await residents()
  const asked = { slug: 'refused', name: 'R', region: 'us' }
  for (const [change, code] of [
    [{ slug: 'acme' }, 'tenant_slug_taken'],
    [{ tier: 'gold' }, 'tier_not_found'],
    [{ region: 'mars' }, 'region_not_found'],
    [{ residency: 'eu' }, 'residency_violation'],
  ] as const) {
    const answer = await post('/v1/tenants', { ...asked, ...change })
    const problem = problemSchema.parse(answer.json())
    t.equal(problem.code, code)
    t.ok(problem.details)
  }
  t.equal(await residents(), before)
  t.match((await get('/v1/tenants/refused')).json(), {
    code: 'tenant_not_found',
    details: { tenant: 'refused' },
  })

  await asRoot('pool', 'alter table freehold.resident rename to away')
  t.match((await post('/v1/tenants', asked)).json(), { code: 'internal' })
  await asRoot('pool', 'alter table freehold.away rename to resident')
  await asRoot('postgres', "update pg_database set datconnlimit = 0 where datname = 'pool'")
  await asRoot('postgres', "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'pool'")
  const away = await post('/v1/tenants', asked)
  t.match(away.json(), { status: 503, code: 'database_unavailable', details: { database: 'pool' } })
  await asRoot('postgres', "update pg_database set datconnlimit = -1 where datname = 'pool'")
  t.equal((await get('/v1/tenants/refused')).statusCode, 404)
  t.equal((await post('/v1/tenants', asked)).statusCode, 201, 'and it is created when the pool is back')
})

t.test('tenants are created many at a time', async (t) => {
  const begun = performance.now()
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, each) =>
      post('/v1/tenants', { slug: `many-${each}`, name: 'M', region: 'us' }),
    ),
  )
  t.ok(answers.every(({ statusCode }) => statusCode === 201))
  t.comment(`60 tenants in ${Math.round(performance.now() - begun)} ms`)
})

t.end()
