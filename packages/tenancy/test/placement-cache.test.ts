import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createRouteSource, type RouteSource } from '@freehold/catalog'
import { createTenantSchema, epochSchema, type TenantId, tenantIdSchema } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { createRouter, type PlacementSource, type Router, type RouterOptions } from '@freehold/tenancy'
import type { Generated } from 'kysely'
import t from 'tap'
import {
  openTestCatalog,
  registerTestCluster,
  startPreparedCluster,
} from '../../../test/kit/control-plane.ts'
import { asSuperuser } from '../../../test/kit/databases.ts'
import {
  createItemsDatabase,
  newTenantId,
  routeTo,
  setResident,
  type TestDatabase,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'
import { until } from '../../../test/kit/until.ts'
import { PlacementCache } from '../src/placement/placement-cache.ts'
import { SecondChanceMap } from '../src/placement/second-chance-map.ts'
import { countQueries } from './count-queries.ts'

interface Database {
  items: { tenant_id: Generated<string>; id: number; name: string; quantity: Generated<number> }
}

const prepared = await startPreparedCluster('placement-cache')
const catalog = await openTestCatalog(prepared)
const us = await registerTestCluster(catalog, prepared, 'us')
const pool: TestDatabase = { ...(await createItemsDatabase(prepared, 'pool')), id: us.pool }
const other: TestDatabase = {
  ...(await createItemsDatabase(prepared, 'other')),
  id: (await registerTestCluster(catalog, prepared, 'eu', { pool: 'other' })).pool,
}
const wire = await countQueries(prepared.as('freehold_reader', 'freehold_catalog'))
const routers: Router<Database>[] = []
const sources: RouteSource[] = []
t.teardown(async () => {
  await Promise.all(routers.map((router) => router.close()))
  await Promise.all(sources.map((source) => source.close()))
  await catalog.close()
  await wire.close()
  await prepared.cluster.remove()
})

/** The catalog's own implementation, over a wire on which the queries are counted. */
function newSource(): RouteSource & PlacementSource {
  const source = createRouteSource({ address: wire.address, applicationName: 'test-router' })
  sources.push(source)
  return source
}

function newRouter(source: PlacementSource, options: Partial<RouterOptions> = {}): Router<Database> {
  const router = createRouter<Database>({ source, entrySecret: testEntrySecret, ...options })
  routers.push(router)
  return router
}

/** Nobody tells it anything. */
const deaf = (source: PlacementSource): PlacementSource => ({
  lookup: (tenantId) => source.lookup(tenantId),
  subscribe: async () => async () => undefined,
})

/** A router that listens already, and will not be told again that everything may have changed. */
async function newListeningRouter(options: Partial<RouterOptions> = {}): Promise<Router<Database>> {
  const { promise: listening, resolve } = Promise.withResolvers<void>()
  const source = newSource()
  const router = newRouter(
    {
      lookup: (tenantId) => source.lookup(tenantId),
      async subscribe(listener) {
        const unsubscribe = await source.subscribe(listener)
        setImmediate(resolve)
        return unsubscribe
      },
    },
    options,
  )
  await listening
  return router
}

let created = 0
async function newTenant(): Promise<TenantId> {
  const input = createTenantSchema.parse({ slug: `tenant-${++created}`, name: 'T', region: 'us' })
  const { tenant } = await catalog.tenants.create(input, async (tenantId) => setResident(pool, tenantId))
  return tenant.id
}

/** Moves the tenant's home to the other database, in both databases and in the catalog. */
async function move(tenantId: TenantId): Promise<void> {
  await setResident(pool, tenantId, 'moved')
  await moveInCatalog(tenantId)
}

/** The old home does not know, and goes on letting it in. */
async function moveInCatalog(tenantId: TenantId): Promise<void> {
  await setResident(other, tenantId, 'active', 2)
  await catalog.placements.switchHome({
    tenantId,
    fromEpoch: epochSchema.parse(1),
    toEpoch: epochSchema.parse(2),
    dataDatabaseId: other.id,
    isolation: 'pool',
    schema: 'public',
  })
}

/** Creates tenants without a data database, quickly. @returns their ids, the newest home first. */
async function newTenants(count: number): Promise<TenantId[]> {
  const { rows } = await withClient(
    asSuperuser(prepared.cluster, 'freehold_catalog'),
    'test',
    async (client) => {
      const prefix = `bulk-${++created}-`
      return client.query<{ id: string }>(
        `with new as (
         insert into catalog.tenants (slug, name, tier_id) select $1 || n, 'T', 'free' from generate_series(1, $2) n
         returning id
       ), placed as (
         insert into catalog.placements
           (tenant_id, epoch, data_database_id, database_kind, isolation, jurisdiction, pinned_to)
         select id, 1, $3, 'pool', 'pool', 'us', 'any' from new returning tenant_id, since
       ) select tenant_id as id from placed order by since desc, tenant_id desc`,
        [prefix, count, us.pool],
      )
    },
  )
  return rows.map(({ id }) => tenantIdSchema.parse(id))
}

const read = (router: Router<Database>, tenantId: TenantId) =>
  router.forTenant(tenantId).selectFrom('items').select('id').execute()

/** Queries of the catalog while `work` ran. */
async function queriesOf(work: () => Promise<unknown>): Promise<number> {
  const before = wire.queries
  await work()
  return wire.queries - before
}

async function allowCatalog(allowed: boolean): Promise<void> {
  await withClient(asSuperuser(prepared.cluster, 'postgres'), 'test', async (client) => {
    await client.query(`alter database freehold_catalog allow_connections ${allowed}`)
    if (allowed) return
    await client.query(
      "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = 'freehold_catalog'",
    )
  })
}

t.test('one query when a tenant is cold, none when it is hot', async (t) => {
  const tenantId = await newTenant()
  const router = await newListeningRouter()
  t.equal(await queriesOf(() => read(router, tenantId)), 1)
  t.equal(
    await queriesOf(async () => {
      for (let n = 0; n < 50; n++) await read(router, tenantId)
      await router
        .forTenant(tenantId)
        .transaction()
        .execute((trx) => trx.selectFrom('items').selectAll().execute())
      await router.tenant(tenantId)
    }),
    0,
  )
  t.match(router.metrics().placements, { cached: 1, misses: 1, lookups: 1, hits: 52, rereads: 0 })
})

t.test('a hundred who ask at once share one query', async (t) => {
  const tenantId = await newTenant()
  const others = await Promise.all([1, 2, 3].map(() => newTenant()))
  const router = await newListeningRouter()
  t.equal(await queriesOf(() => Promise.all(Array.from({ length: 100 }, () => read(router, tenantId)))), 1)
  t.match(router.metrics().placements, { misses: 100, lookups: 1 })
  const all = () => Promise.all(others.flatMap((id) => Array.from({ length: 20 }, () => read(router, id))))
  t.equal(await queriesOf(all), 3, 'one a tenant')
})

t.test('that there is no such tenant is remembered, but not for ever', async (t) => {
  const source = newSource()
  const router = newRouter(deaf(source))
  const tenantId = newTenantId()
  const refused = Array.from({ length: 50 }, () => ({ reason: { code: 'tenant_not_found' } }))
  const asked = () => Promise.allSettled(refused.map(() => read(router, tenantId)))
  t.equal(await queriesOf(async () => t.match(await asked(), refused)), 1)
  t.match(await asked(), refused)
  t.ok(router.metrics().placements.lookups <= 2, 'known not to be there, unless a second has gone by')
  const input = createTenantSchema.parse({ id: tenantId, slug: `late-${++created}`, name: 'T', region: 'us' })
  await catalog.tenants.create(input, async (id) => setResident(pool, id))
  await until(
    () =>
      read(router, tenantId)
        .then(() => true)
        .catch(() => false),
    'a router that hears nothing finds the new tenant',
  )
})

t.test('what is announced is looked up again', async (t) => {
  const tenantId = await newTenant()
  const router = await newListeningRouter()
  await read(router, tenantId)
  await moveInCatalog(tenantId)
  await until(async () => {
    await read(router, tenantId)
    return router.connections().has(other.id)
  }, 'it goes to the new home')
  t.match(router.metrics().placements, { rereads: 0 }, 'nobody but the announcement has told it')
  await until(async () => (await queriesOf(() => read(router, tenantId))) === 0, 'and is remembered')
})

t.test('without any announcement the data database refuses, and the way is found', async (t) => {
  const router = newRouter(deaf(newSource()))
  const tenantId = await newTenant()
  await router.forTenant(tenantId).insertInto('items').values({ id: 1, name: 'before' }).execute()
  await move(tenantId)
  t.equal(
    await queriesOf(() =>
      router.forTenant(tenantId).insertInto('items').values({ id: 2, name: 'after' }).execute(),
    ),
    1,
  )
  t.match(router.metrics().placements, { rereads: 1, lookups: 2 })
  const rows = (database: TestDatabase) =>
    withClient(database.superuser, 'test', async (client) => {
      const found = await client.query('select id from items where tenant_id = $1', [tenantId])
      return found.rows
    })
  t.same([await rows(pool), await rows(other)], [[{ id: 1 }], [{ id: 2 }]], 'nothing is written where it was')
  t.equal(await queriesOf(() => read(router, tenantId)), 0, 'and is remembered')
})

t.test('while the catalog is down, those who are known are served', async (t) => {
  const router = newRouter(newSource(), { holdDeadlineMs: 200 })
  const [known, moved, unknown] = [await newTenant(), await newTenant(), await newTenant()]
  await read(router, known)
  await read(router, moved)
  t.teardown(() => allowCatalog(true))
  await allowCatalog(false)
  await until(async () => {
    await read(router, known)
    const { hits, staleServes } = router.metrics().placements
    return hits + staleServes > 30
  }, 'served all the while')
  await t.rejects(read(router, unknown), { code: 'catalog_unavailable', retryAfterSeconds: 1 })
  await setResident(pool, moved, 'moved')
  await t.rejects(read(router, moved), { code: /not_resident/ }, 'but never where the tenant is no more')
  await setResident(pool, moved)
  t.same(await read(router, moved), [])
  t.ok(router.metrics().placements.lookupErrors > 0)
  await allowCatalog(true)
  await until(
    () =>
      read(router, unknown)
        .then(() => true)
        .catch(() => false),
    'the catalog is back',
  )
})

t.test('a warm start loads the newest homes first, a query a page, and asks for nothing twice', async (t) => {
  await newTenants(100)
  const newest = await newTenants(1_200)
  const source = newSource()
  let pages = 0
  const router = newRouter(
    {
      ...source,
      page(after, limit) {
        pages++
        return source.page(after, limit)
      },
    },
    { warmStart: { tenants: 1_100 } },
  )
  t.equal(
    await queriesOf(async () => {
      await router.ready()
      for (const tenantId of newest.slice(0, 1_100)) await router.tenant(tenantId)
    }),
    3,
    'of 500, 500 and 100',
  )
  t.equal(pages, 3)
  t.match(router.metrics(), {
    warmStart: { state: 'done', loaded: 1_100 },
    placements: { cached: 1_100, lookups: 0, misses: 0 },
  })
  t.equal(await queriesOf(() => router.tenant(newest[1_150] as TenantId)), 1, 'the others are asked for')

  const everything = newRouter(newSource(), { warmStart: { tenants: 100_000 } })
  await everything.ready()
  const { rows } = await withClient(asSuperuser(prepared.cluster, 'freehold_catalog'), 'test', (client) =>
    client.query('select count(*)::int as n from catalog.tenants'),
  )
  t.equal(everything.metrics().placements.cached, rows[0]?.n, 'no tenant is missed or taken twice')
  const small = newRouter(newSource(), { warmStart: { tenants: 100_000 }, maxCachedTenants: 200 })
  await small.ready()
  t.match(small.metrics().placements, { cached: 200 }, 'no more than there is room for')
})

t.test('a page costs the same however far it is', async (t) => {
  await withClient(asSuperuser(prepared.cluster, 'freehold_catalog'), 'test', async (client) => {
    await client.query('analyze')
    const { rows } = await client.query(
      `explain select * from catalog.routes where since <= now() and (since, tenant_id) < (now(), 'x')
       order by catalog.routes.since desc, tenant_id desc limit 10`,
    )
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    t.match(plan, /Index Scan using homes_by_age/)
    t.match(plan, /Index Cond: .*since/)
  })
  await t.rejects(newSource().page('nonsense', 10), { code: 'invalid_request' })
})

t.test('a warm start keeps nobody waiting and overwrites nothing newer', async (t) => {
  const [asked, changed, quiet] = [await newTenant(), await newTenant(), await newTenant()]
  const source = newSource()
  const { promise: read1, resolve: pageIsRead } = Promise.withResolvers<void>()
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const heard: unknown[] = []
  const router = newRouter(
    {
      lookup: (tenantId) => source.lookup(tenantId),
      subscribe: (listener) =>
        source.subscribe((change) => {
          heard.push(change)
          listener(change)
        }),
      async page(after, limit) {
        const page = await source.page(after, limit)
        pageIsRead()
        await gate
        return page
      },
    },
    { warmStart: { tenants: 100 } },
  )
  let isReady = false
  const ready = router.ready().then(() => (isReady = true))
  await read1
  await read(router, asked)
  t.notOk(isReady, 'requests do not wait for it')
  t.equal(router.metrics().warmStart.state, 'running')
  await move(changed)
  await until(() => heard.length > 0, 'the announcement')
  open()
  await ready
  t.equal(await queriesOf(() => read(router, changed)), 1, 'what changed meanwhile is asked for')
  t.equal(await queriesOf(() => read(router, quiet)), 0)
  t.match(router.metrics().placements, { rereads: 0 })
})

t.test('a warm start that fails is no reason not to serve', async (t) => {
  const tenantId = await newTenant()
  const source = newSource()
  const router = newRouter(
    { ...source, page: () => Promise.reject(new Error('not today')) },
    { warmStart: { tenants: 10 } },
  )
  await router.ready()
  t.match(router.metrics().warmStart, { state: 'failed', loaded: 0 })
  t.same(await read(router, tenantId), [])
  t.throws(() => newRouter(deaf(source), { warmStart: { tenants: 10 } }), {
    code: 'config_invalid',
    message: /warmStart/,
  })
  const off = newRouter(source)
  await off.ready()
  t.equal(off.metrics().warmStart.state, 'off')
})

t.test('a cache smaller than the tenants lets go of those used least recently', async (t) => {
  const router = await newListeningRouter({ maxCachedTenants: 20 })
  const tenants = (await newTenants(60)).slice(0, 60)
  const [favourite, ...others] = tenants as [TenantId, ...TenantId[]]
  await router.tenant(favourite)
  for (const tenantId of others) {
    await router.tenant(tenantId)
    await router.tenant(favourite)
  }
  t.equal(router.metrics().placements.cached, 20)
  t.equal(await queriesOf(() => router.tenant(favourite)), 0, 'always in use, never let go')
  const recent = others.slice(-15)
  t.equal(await queriesOf(async () => Promise.all(recent.map((id) => router.tenant(id)))), 0)
  t.equal(await queriesOf(() => router.tenant(others[0] as TenantId)), 1)
})

t.test('a question that is never answered is asked again by whoever comes later', async (t) => {
  const tenantId = newTenantId()
  let asked = 0
  const source: PlacementSource = {
    lookup: () => (++asked === 1 ? new Promise(() => undefined) : Promise.resolve(routeTo(pool, tenantId))),
    subscribe: async () => async () => undefined,
  }
  const cache = new PlacementCache(source, testEntrySecret, 10)
  const both = await Promise.allSettled([cache.resolve(tenantId), cache.resolve(tenantId)])
  t.match(
    both,
    both.map(() => ({ reason: { code: 'catalog_unavailable' } })),
  )
  t.equal(asked, 1)
  t.equal((await cache.resolve(tenantId)).tenant.id, tenantId)
})

t.test('a map of a million', async (t) => {
  const million = 1_000_000
  const map = new SecondChanceMap<{ used: boolean; n: number }>(million)
  const hot = Array.from({ length: 1_000 }, (_, n) => `${n * 997}`)
  for (let n = 0; n < million; n++) map.set(`${n}`, { used: false, n })
  t.equal(map.size, million)
  for (const key of hot) {
    const entry = map.get(key)
    if (entry && `${entry.n}` === key) entry.used = true
    else t.fail(`${key} leads to ${entry?.n}`)
  }
  for (let n = million; n < million + 1_000; n++) map.set(`${n}`, { used: false, n })
  t.equal(map.size, million, 'never more')
  t.ok(
    hot.every((key) => map.get(key)),
    'what is used stays',
  )
  map.set('0', { used: false, n: -1 })
  t.equal(map.size, million, 'replacing is not adding')
  map.delete('0')
  map.delete('unknown')
  t.equal(map.size, million - 1)
  const tiny = new SecondChanceMap<{ used: boolean }>(1)
  tiny.set('a', { used: true })
  tiny.set('b', { used: false })
  t.same([tiny.get('a'), tiny.get('b'), tiny.size], [undefined, { used: false }, 1])
})

t.test('a cached tenant takes less than a kilobyte', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const count = 30_000
  const source: PlacementSource = {
    // As from a database: strings of its own for everything.
    lookup: async (tenantId) => JSON.parse(JSON.stringify(routeTo(pool, tenantId))),
    subscribe: async () => async () => undefined,
  }
  const cache = new PlacementCache(source, testEntrySecret, count)
  const ids = Array.from({ length: count }, () => newTenantId())
  collect()
  const before = process.memoryUsage().heapUsed
  for (const id of ids) (await cache.resolve(id)).entry('reader')
  collect()
  const bytes = (process.memoryUsage().heapUsed - before) / count
  t.equal(cache.counters().cached, count)
  t.ok(bytes < 1_024, `${Math.round(bytes)} bytes`)
})
