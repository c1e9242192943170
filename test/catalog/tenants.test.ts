import { randomUUID } from 'node:crypto'
import { moverAddress, openCatalog, ownerAddress } from '@freehold/catalog'
import {
  clusterIdSchema,
  createTenantSchema,
  type DataDatabaseId,
  dataDatabaseIdSchema,
  epochSchema,
  jurisdictionSchema,
  type Placement,
  regionIdSchema,
  type Tenant,
  tenantDetailSchema,
  tenantPageSchema,
  topologySchema,
} from '@freehold/contract'
import t from 'tap'
import { openTestCatalog, registerTestCluster, startPreparedCluster } from '../kit/control-plane.ts'

const server = await startPreparedCluster('tenants')
const catalog = await openTestCatalog(server)
const us = await registerTestCluster(catalog, server, 'us')
const eu = await registerTestCluster(catalog, server, 'eu', { capacityBytes: 10_000_000_000 })
t.teardown(async () => {
  await catalog.close()
  await server.cluster.remove()
})

const admitted: Placement[] = []
const admit = async (_id: string, placement: Placement) => {
  admitted.push(placement)
}
const input = (slug: string, rest: object = {}) =>
  createTenantSchema.parse({ slug, name: `The ${slug}`, region: 'us', ...rest })
const create = async (slug: string, rest?: object) =>
  (await catalog.tenants.create(input(slug, rest), admit)).tenant

t.test('a tenant begins in the pool of its region', async (t) => {
  const tenant = await create('acme', { tier: 'pro', residency: 'us' })
  t.match(tenant, { slug: 'acme', name: 'The acme', tier: 'pro', status: 'active', residency: 'us' })
  t.match(tenant.placement, { isolation: 'pool', cluster: 'us-1', jurisdiction: 'us', epoch: 1 })
  t.equal(tenant.placement.dataDatabaseId, us.pool)
  t.same(admitted, [tenant.placement], 'admitted with the placement it was given')
  t.same(await catalog.tenants.get('acme'), tenant)
  t.same(await catalog.tenants.get(tenant.id), tenant)
  t.same(await catalog.placements.home(tenant.id), tenant.placement)
  const detail = await catalog.tenants.detail('acme')
  t.same(tenantDetailSchema.parse(detail), detail)
  t.match(detail.placements, [{ ...tenant.placement, current: true, until: null }])
})

t.test('an id is looked for before a slug that looks like it', async (t) => {
  const tenant = await create('first')
  const other = tenant.id.startsWith('a') ? 'b' : 'a'
  const lookalike = await create(`${other}${tenant.id.slice(1)}`)
  t.equal((await catalog.tenants.get(tenant.id)).id, tenant.id)
  t.equal((await catalog.tenants.get(lookalike.slug)).id, lookalike.id)
})

t.test('a tenant that may not be is refused, in words, and nothing stays', async (t) => {
  const before = await catalog.tenants.list({ limit: 200 })
  const refused = (rest: object, slug = 'refused') => create(slug, rest)
  await t.rejects(refused({}, 'acme'), { code: 'tenant_slug_taken', details: { slug: 'acme' } })
  await t.rejects(refused({ tier: 'gold' }), { code: 'tier_not_found', details: { tier: 'gold' } })
  await t.rejects(refused({ region: 'mars' }), { code: 'region_not_found', details: { region: 'mars' } })
  await t.rejects(refused({ residency: 'eu' }), {
    code: 'residency_violation',
    message: 'Tenant refused is pinned to eu; the target lies in us.',
    details: { tenant: 'refused', residency: 'eu', jurisdiction: 'us' },
  })
  await catalog.topology.registerRegion({
    id: regionIdSchema.parse('empty'),
    jurisdiction: jurisdictionSchema.parse('us'),
    name: 'Empty',
  })
  await t.rejects(refused({ region: 'empty' }), { code: 'pool_not_found' })
  const failing = async () => {
    throw new Error('the data database is away')
  }
  await t.rejects(catalog.tenants.create(input('refused'), failing), { message: 'the data database is away' })
  t.same(await catalog.tenants.list({ limit: 200 }), before)
  await t.rejects(catalog.tenants.get('refused'), {
    code: 'tenant_not_found',
    details: { tenant: 'refused' },
  })
})

t.test('of two tenants with one slug created at once, one is', async (t) => {
  const results = await Promise.allSettled([1, 2, 3, 4].map(() => create('contested')))
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const result of results) {
    if (result.status === 'rejected') t.match(result.reason, { code: 'tenant_slug_taken' })
  }
})

t.test('a request that is sent twice, even at once, creates one tenant', async (t) => {
  const request = { subject: 'ada', key: 'create', digest: Buffer.alloc(32, 1) }
  const results = await Promise.all(
    [1, 2, 3].map(() => catalog.tenants.create(input('once'), admit, request)),
  )
  t.equal(results.filter(({ created }) => created).length, 1)
  t.equal(new Set(results.map(({ tenant }) => tenant.id)).size, 1)
  t.match(await catalog.tenants.create(input('once'), admit, request), { created: false })
  await t.rejects(
    catalog.tenants.create(input('twice'), admit, { ...request, digest: Buffer.alloc(32, 2) }),
    {
      code: 'idempotency_key_reused',
    },
  )
})

t.test('tenants are listed by slug, by pages, and found by slug or name', async (t) => {
  for (let each = 0; each < 7; each++) await create(`page-${each}`, { name: `Pa%ge ${each}` })
  const slugs: string[] = []
  let cursor: string | undefined
  do {
    const page = await catalog.tenants.list({ search: 'PA%GE', limit: 3, ...(cursor && { cursor }) })
    t.same(tenantPageSchema.parse(page), page)
    slugs.push(...page.items.map(({ slug }) => slug))
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined)
  t.same(slugs, ['page-0', 'page-1', 'page-2', 'page-3', 'page-4', 'page-5', 'page-6'])
  t.equal((await catalog.tenants.list({ search: 'age-3', limit: 9 })).items.length, 1)
  t.same(await catalog.tenants.list({ search: 'p_ge', limit: 9 }), { items: [], nextCursor: null })
  await t.rejects(catalog.tenants.list({ limit: 1, cursor: 'No!' }), { code: 'invalid_request' })
})

t.test('the home is switched once, whoever switches it and however often', async (t) => {
  const tenant = await create('mover')
  const silo = await catalog.topology.registerSilo({ clusterId: eu.cluster, name: 'silo_mover' })
  const other = openCatalog({
    address: server.as('freehold_control', 'freehold_catalog'),
    applicationName: 'other',
  })
  t.teardown(() => other.close())
  await catalog.placements.rehearseSwitch(switchTo(tenant, silo))
  t.same((await catalog.tenants.get('mover')).placement, tenant.placement, 'a rehearsal changes nothing')
  const results = await Promise.all(
    [catalog, other, catalog, other].map((each) => each.placements.switchHome(switchTo(tenant, silo))),
  )
  t.same(results.sort(), ['already', 'already', 'already', 'switched'])
  t.equal(await catalog.placements.switchHome(switchTo(tenant, silo)), 'already')
  const detail = await catalog.tenants.detail('mover')
  t.match(detail.placements, [
    { epoch: 2, isolation: 'silo', cluster: 'eu-1', database: 'silo_mover', current: true, until: null },
    { epoch: 1, isolation: 'pool', cluster: 'us-1', database: 'pool', current: false, until: String },
  ])
  t.equal(detail.placement.dataDatabaseId, silo)

  const back = { ...switchTo(tenant, us.pool, 2), isolation: 'pool' as const }
  t.equal(await catalog.placements.switchHome(back), 'switched')
  await t.rejects(catalog.placements.switchHome(switchTo(tenant, silo)), { code: 'lease_lost' })
  t.equal(
    (await catalog.tenants.get('mover')).placement.epoch,
    3,
    'a slow worker of an old move changes nothing',
  )
})

t.test('a switch to a database that there is not leaves the home', async (t) => {
  const tenant = await create('steady')
  const nowhere = dataDatabaseIdSchema.parse(randomUUID())
  await t.rejects(catalog.placements.switchHome(switchTo(tenant, nowhere)), { code: 'lease_lost' })
  t.same((await catalog.tenants.get('steady')).placement, tenant.placement)
})

t.test('a switch out of the pin is refused and leaves the home', async (t) => {
  const tenant = await create('rooted', { residency: 'us' })
  const silo = await catalog.topology.registerSilo({ clusterId: eu.cluster, name: 'silo_rooted' })
  const refusal = {
    code: 'residency_violation',
    message: 'Tenant rooted is pinned to us; the target lies in eu.',
  }
  await t.rejects(catalog.placements.rehearseSwitch(switchTo(tenant, silo)), refusal)
  await t.rejects(catalog.placements.switchHome(switchTo(tenant, silo)), refusal)
  t.same((await catalog.tenants.get('rooted')).placement, tenant.placement)
})

t.test('topology can be registered again, and read without secrets', async (t) => {
  await registerTestCluster(catalog, server, 'eu', { capacityBytes: 20_000_000_000 })
  const topology = await catalog.topology.read()
  t.same(topologySchema.parse(topology), topology)
  t.match(topology.clusters, [
    {
      id: 'eu-1',
      region: 'eu',
      jurisdiction: 'eu',
      capacityBytes: 20_000_000_000,
      pools: ['pool'],
      silos: 2,
    },
    { id: 'us-1', capacityBytes: null, pools: ['pool'], silos: 0 },
  ])
  t.notMatch(JSON.stringify(topology), /env:|password|localhost|127\.0\.0\.1/i)
  t.same(
    topology.tiers.map(({ id }) => id),
    ['enterprise', 'free', 'pro'],
  )
  await t.rejects(
    catalog.topology.registerCluster({
      ...(await catalog.topology.cluster(us.cluster)),
      region: regionIdSchema.parse('mars'),
    }),
    { code: 'region_not_found' },
  )
})

t.test('a silo is registered once and can be forgotten until a tenant lives there', async (t) => {
  const silo = { clusterId: us.cluster, name: 'silo_new' }
  const id = await catalog.topology.registerSilo(silo)
  t.equal(await catalog.topology.registerSilo(silo), id)
  await t.rejects(catalog.topology.registerPool(silo), { code: 'internal' })
  await t.rejects(catalog.topology.registerSilo({ ...silo, clusterId: clusterIdSchema.parse('us-9') }), {
    code: 'target_not_found',
  })
  await catalog.topology.removeDataDatabase(id)
  await catalog.topology.removeDataDatabase(id)
  t.not(await catalog.topology.registerSilo(silo), id, 'it was forgotten')
  await t.rejects(
    catalog.topology.removeDataDatabase(us.pool),
    /must be in a database that has not been dropped/,
  )
})

t.test('a region offers its least used cluster first, and its newest pool', async (t) => {
  const second = await registerTestCluster(catalog, server, 'us', { cluster: 'us-2', pool: 'pool_2' })
  await catalog.topology.registerSilo({ clusterId: us.cluster, name: 'silo_busy' })
  t.same(
    (await catalog.topology.clustersIn(us.region)).map(({ id }) => id),
    ['us-2', 'us-1'],
  )
  t.equal((await create('newcomer')).placement.dataDatabaseId, second.pool)
  await t.rejects(catalog.topology.clustersIn(regionIdSchema.parse('empty')), { code: 'target_not_found' })
  await t.rejects(catalog.topology.clustersIn(regionIdSchema.parse('mars')), { code: 'region_not_found' })
  await t.rejects(catalog.topology.cluster(clusterIdSchema.parse('mars-1')), { code: 'target_not_found' })
})

t.test('the catalog holds references to passwords, which are resolved when they are needed', async (t) => {
  const cluster = await catalog.topology.cluster(us.cluster)
  t.match(cluster.ownerSecret, /^env:/)
  const { passwords } = server
  t.match(await ownerAddress(cluster, 'db'), {
    user: 'freehold_owner',
    password: passwords.freehold_owner,
    database: 'db',
  })
  t.match(await moverAddress(cluster, 'db'), { user: 'freehold_mover', password: passwords.freehold_mover })
  await t.rejects(moverAddress({ ...cluster, moverSecret: 'env:TEST_NOT_SET' }, 'db'), {
    code: 'config_invalid',
  })
})

function switchTo(tenant: Tenant, dataDatabaseId: DataDatabaseId, from: number = tenant.placement.epoch) {
  return {
    tenantId: tenant.id,
    fromEpoch: epochSchema.parse(from),
    toEpoch: epochSchema.parse(from + 1),
    dataDatabaseId,
    isolation: 'silo' as const,
    schema: 'public',
  }
}

t.end()
