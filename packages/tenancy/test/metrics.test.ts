import { setTimeout as sleep } from 'node:timers/promises'
import { createRouter } from '@freehold/tenancy'
import { publishMetrics } from '@freehold/tenancy/metrics'
import type { Generated } from 'kysely'
import { Registry } from 'prom-client'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import {
  ControlledSource,
  createItemsDatabase,
  newTenantId,
  setResident,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'
import { metricDefinitions } from '../src/metrics/metric-definitions.ts'

interface Database {
  items: { tenant_id: Generated<string>; id: number; name: string }
}

const prepared = await startPreparedCluster('metrics')
const shared = await createItemsDatabase(prepared, 'shared')
const own = await createItemsDatabase(prepared, 'own')
const source = new ControlledSource()
const router = createRouter<Database>({
  source,
  entrySecret: testEntrySecret,
  maxConnections: 2,
  maxConnectionsPerDatabase: 2,
  connectionWaitMs: 1_000,
})
const registry = new Registry()
const stop = publishMetrics(router, { registry })
t.teardown(async () => {
  await router.close()
  await prepared.cluster.remove()
})
const pooled = newTenantId()
const alone = newTenantId()
await setResident(shared, pooled)
await setResident(own, alone)
source.place(shared, pooled)
source.place(own, alone, { isolation: 'silo' })

/** The value of a published metric. */
async function published(name: string, labels: Record<string, string> = {}): Promise<number | undefined> {
  const metric = await registry.getSingleMetric(`freehold_router_${name}`)?.get()
  return metric?.values.find(({ labels: found }) =>
    Object.entries(labels).every(([label, value]) => found[label] === value),
  )?.value
}

const inShared = { region: 'us-east', database: shared.id, isolation: 'pool' }
const inOwn = { region: 'us-east', database: own.id, isolation: 'silo' }
const read = (tenantId: string) => router.forTenant(tenantId).selectFrom('items').select('id').execute()

const limitedBy = (limit: string) => ({ code: 'connection_budget_exhausted', details: { limit } })

t.test('names follow the rules of Prometheus, and no label can be a tenant', async (t) => {
  const allowed = new Set(['region', 'database', 'isolation', 'state', 'limit', 'reason', 'outcome'])
  for (const { name, type, labels, help } of metricDefinitions) {
    t.match(name, /^freehold_router_[a-z_]+$/)
    t.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
    t.notMatch(name, /_(ms|milliseconds|count)(_|$)/, 'base units')
    t.ok(
      labels.every((label) => allowed.has(label)),
      `${name}: ${labels}`,
    )
    t.ok(help.endsWith('.'))
  }
  t.equal(new Set(metricDefinitions.map(({ name }) => name)).size, metricDefinitions.length)
})

t.test('connections, waits and refusals are counted where they happen', async (t) => {
  await read(pooled)
  await router
    .forTenant(pooled)
    .transaction()
    .execute(async (trx) => {
      await trx.selectFrom('items').selectAll().execute()
      t.equal(await published('connections', { ...inShared, state: 'lent' }), 1)
      await router
        .forTenant(alone)
        .transaction()
        .execute(async (other) => {
          await other.selectFrom('items').selectAll().execute()
          t.equal(await published('connections_used'), 2)
          await Promise.all([
            t.rejects(read(pooled), limitedBy('tenant')),
            t.rejects(read(alone), limitedBy('process')),
          ])
        })
    })
  t.equal(await published('connections', { ...inShared, state: 'lent' }), 0)
  t.equal(await published('connections', { ...inShared, state: 'idle' }), 1)
  t.equal(await published('connections_limit'), 2)
  t.equal(await published('connection_timeouts_total', { ...inShared, limit: 'tenant' }), 1)
  t.equal(await published('connection_timeouts_total', { ...inOwn, limit: 'process' }), 1)
  t.equal(await published('connection_timeouts_total', { ...inOwn, limit: 'tenant' }), 0)
  t.equal(await published('connects_total', inOwn), 1)
  const waits = (await published('connection_waits_total', inShared)) ?? 0
  t.equal(waits, 2, 'for the first connection, and in vain')
  const waited = (await published('connection_wait_seconds_total', inShared)) ?? 0
  t.ok(waited >= 0.9 && waited < 20, `${waited} s`)
  t.equal(await published('connection_wait_seconds_total', inShared), waited, 'read twice, not counted twice')
})

t.test('evictions and failures', async (t) => {
  const third = await createItemsDatabase(prepared, 'third')
  const tenantId = newTenantId()
  await setResident(third, tenantId)
  source.place(third, tenantId)
  await read(pooled)
  await read(tenantId)
  t.equal(await published('connections_closed_total', { ...inOwn, reason: 'evicted' }), 1)
  const nowhere = newTenantId()
  source.place({ ...third, app: { ...third.app, port: 1 } }, nowhere)
  await t.rejects(read(nowhere), { code: 'database_unavailable' })
  t.ok(((await published('connect_failures_total', { database: third.id })) ?? 0) > 0)
  const { counters } = router.metrics().connections
  t.match(
    counters,
    { timeouts: { process: 1, database: 0, tenant: 1 }, closed: { evicted: 1 } },
    'totals last',
  )
})

t.test('placements', async (t) => {
  const before = (await published('placement_requests_total', { outcome: 'hit' })) ?? 0
  for (let n = 0; n < 10; n++) await read(pooled)
  t.equal(await published('placement_requests_total', { outcome: 'hit' }), before + 10)
  const unknown = newTenantId()
  await t.rejects(read(unknown), { code: 'tenant_not_found' })
  await t.rejects(read(unknown), { code: 'tenant_not_found' })
  const misses = await published('placement_requests_total', { outcome: 'miss' })
  const refused = await published('placement_requests_total', { outcome: 'refused' })
  t.equal((misses ?? 0) + (refused ?? 0), 6)
  source.failure = new Error('the catalog is down')
  source.announce('all')
  await read(pooled)
  source.failure = undefined
  t.ok(((await published('placement_requests_total', { outcome: 'stale' })) ?? 0) > 0)
  t.equal(await published('catalog_lookup_errors_total'), 1)
  t.equal(await published('catalog_lookups_total'), source.lookups)
  t.equal(await published('placements_cached'), router.metrics().placements.cached)
  t.equal(await published('warm_start_state', { state: 'off' }), 1)
})

t.test('tenants that are held', async (t) => {
  await setResident(shared, pooled, 'fenced')
  const writing = router.forTenant(pooled).insertInto('items').values({ id: 1, name: 'x' }).execute()
  while ((await published('held_tenants')) !== 1) await sleep(2)
  await setResident(shared, pooled)
  await writing
  t.equal(await published('held_tenants'), 0)
})

t.test('what is published is plain text without a tenant in it, and can be taken back', async (t) => {
  const text = await registry.metrics()
  t.match(text, /^# TYPE freehold_router_connects_total counter$/m)
  t.match(
    text,
    new RegExp(`freehold_router_connections{region="us-east",database="${shared.id}",isolation="pool"`),
  )
  for (const tenantId of [pooled, alone]) t.notMatch(text, tenantId)
  t.throws(() => publishMetrics(router, { registry }), /already been registered/)
  stop()
  t.equal((await registry.getMetricsAsArray()).length, 0)
})
