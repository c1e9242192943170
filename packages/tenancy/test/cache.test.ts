import { randomUUID } from 'node:crypto'
import { regionIdSchema, type TenantId, tierIdSchema } from '@freehold/contract'
import { createRouter, outsideTenant, runAsTenant } from '@freehold/tenancy'
import {
  type CacheStore,
  createTenantCache,
  memoryStore,
  redisStore,
  type TenantCacheOptions,
} from '@freehold/tenancy/cache'
import { Redis } from 'ioredis'
import t from 'tap'
import { z } from 'zod'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { startTestRedis } from '../../../test/kit/redis.ts'
import {
  ControlledSource,
  createItemsDatabase,
  newTenantId,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'

const prepared = await startPreparedCluster('cache')
const pool = await createItemsDatabase(prepared, 'pool')
const redis = await startTestRedis()
const client = new Redis(redis.url)
const source = new ControlledSource()
const router = createRouter({ source, entrySecret: testEntrySecret })
t.teardown(async () => {
  client.disconnect()
  await Promise.all([router.close(), redis.remove()])
  await prepared.cluster.remove()
})

const east = regionIdSchema.parse('us-east')
const europe = regionIdSchema.parse('eu-central')

async function newTenant(region = east, tier = 'free'): Promise<TenantId> {
  const tenantId = newTenantId()
  source.place(pool, tenantId, { region, tier: tierIdSchema.parse(tier) })
  return tenantId
}

const kinds: Record<string, () => CacheStore> = {
  memory: () => memoryStore(),
  Redis: () => redisStore(client, { prefix: `cache-${randomUUID()}` }),
}
const newCache = (store: CacheStore, options: Partial<TenantCacheOptions> = {}) =>
  createTenantCache({ router, stores: { [east]: store }, patienceMs: 20_000, ...options })

function bound(store: CacheStore): CacheStore {
  return {
    get: (...args) => store.get(...args),
    lease: (...args) => store.lease(...args),
    giveUp: (...args) => store.giveUp(...args),
    set: (...args) => store.set(...args),
    delete: (...args) => store.delete(...args),
    flush: (...args) => store.flush(...args),
  }
}

async function leaseOf(store: CacheStore, tenant: TenantId, key: string, maxBytes = 1_000_000) {
  return z.object({ lease: z.string() }).parse(await store.lease(tenant, key, { maxBytes }))
}

/** Keys that would meet if ids and keys were glued together carelessly. */
const awkwardKeys = (other: TenantId) =>
  [
    `${other}:a`,
    `:${other}:a`,
    `{${other}}:values`,
    'a',
    'a:',
    ':a',
    '',
    '*',
    'é',
    'e\u0301',
    '🦊',
    '__proto__',
    'default',
  ].filter((key) => key !== '')

for (const [kind, newStore] of Object.entries(kinds)) {
  t.test(kind, async (t) => {
    t.test('each tenant has entries of its own, whatever the keys', async (t) => {
      const cache = newCache(newStore())
      const tenants = [await newTenant(), await newTenant()] as const
      const keys = tenants.flatMap((tenant) => awkwardKeys(tenant))
      await Promise.all(
        tenants.map((tenant) =>
          runAsTenant(router, tenant, async () => {
            for (const key of keys) t.ok(await cache.set(key, { tenant, key }))
          }),
        ),
      )
      for (const tenant of tenants) {
        for (const key of keys) t.same(await cache.forTenant(tenant).get(key), { tenant, key })
      }
      await cache.forTenant(tenants[0]).delete('a')
      t.equal(await cache.forTenant(tenants[0]).get('a'), undefined)
      t.ok(await cache.forTenant(tenants[1]).get('a'))
      await runAsTenant(router, tenants[0], () => cache.flush())
      for (const key of keys) {
        t.equal(await cache.forTenant(tenants[0]).get(key), undefined, 'a flush empties one tenant')
        t.same(await cache.forTenant(tenants[1]).get(key), { tenant: tenants[1], key }, 'and no other')
      }
    })

    t.test('nobody has no cache, and one tenant has not that of another', async (t) => {
      const cache = newCache(newStore())
      const [one, two] = [await newTenant(), await newTenant()]
      for (const use of [
        () => cache.get('a'),
        () => cache.set('a', 1),
        () => cache.delete('a'),
        () => cache.flush(),
        () => cache.getOrSet('a', async () => 1),
      ]) {
        await t.rejects(use(), { code: 'tenant_context_missing' })
      }
      await runAsTenant(router, one, async () => {
        await t.rejects(cache.forTenant(two).get('a'), { code: 'tenant_fixed' })
        await t.rejects(cache.forTenant(two).flush(), { code: 'tenant_fixed' })
        await outsideTenant(() => cache.forTenant(two).set('a', 'from outside'))
        t.equal(await cache.get('a'), undefined)
      })
      await t.rejects(cache.forTenant(newTenantId()).get('a'), { code: 'tenant_not_found' })
      for (const key of ['', 'x'.repeat(513), '\ud800', 'a\0b']) {
        await t.rejects(cache.forTenant(one).set(key, 1), { code: 'invalid_request' })
      }
      await t.rejects(
        cache.forTenant(one).set('a', () => 1),
        { code: 'invalid_request' },
      )
    })

    t.test('a flood of one tenant evicts its own least recently used, by its tier', async (t) => {
      const cache = newCache(newStore(), { quotaBytes: { default: 10_000, pro: 40_000 } })
      const [quiet, loud, paying] = [await newTenant(), await newTenant(), await newTenant(east, 'pro')]
      await cache.forTenant(quiet).set('kept', 'x')
      const kept: Record<string, number> = {}
      for (const tenant of [loud, paying]) {
        const entries = cache.forTenant(tenant)
        await entries.set('used', 'x'.repeat(800))
        for (let index = 0; index < 60; index++) {
          await entries.set(`key-${index}`, 'x'.repeat(900))
          t.ok(await entries.get('used'))
        }
        const found = await Promise.all(Array.from({ length: 60 }, (_, index) => entries.get(`key-${index}`)))
        kept[tenant] = found.filter((value) => value !== undefined).length
        t.ok(found[59] !== undefined, 'the latest is there')
        t.equal(
          found.indexOf(found.find((value) => value !== undefined)),
          60 - (kept[tenant] ?? 0),
          'the oldest went',
        )
        t.notOk(await entries.set('large', 'x'.repeat(100_000)), 'what is larger than the quota is not kept')
      }
      t.match(kept, { [loud]: 9, [paying]: 40 })
      t.equal(await cache.forTenant(quiet).get('kept'), 'x')
    })

    t.test('entries end', async (t) => {
      const cache = newCache(newStore())
      const entries = cache.forTenant(await newTenant())
      await entries.set('short', 1, { ttlMs: 1 })
      await entries.set('long', 1)
      while ((await entries.get('short')) !== undefined)
        await new Promise((resolve) => setTimeout(resolve, 5))
      t.equal(await entries.get('long'), 1)
      await entries.set('replaced', 1)
      await entries.set('replaced', 2)
      t.equal(await entries.get('replaced'), 2)
    })

    t.test('getOrSet loads once at a time, and only for its tenant', async (t) => {
      const cache = newCache(newStore())
      const [one, two] = [await newTenant(), await newTenant()]
      const gate = Promise.withResolvers<void>()
      const loads: TenantId[] = []
      const load = (tenant: TenantId) => () =>
        cache.forTenant(tenant).getOrSet('key', async () => {
          loads.push(tenant)
          await gate.promise
          return { tenant, at: new Date(0) }
        })
      const answers = Promise.all(
        [...Array(20).fill(load(one)), ...Array(20).fill(load(two))].map((ask) => ask()),
      )
      while (loads.length < 2) await new Promise((resolve) => setTimeout(resolve, 2))
      gate.resolve()
      const expected = (tenant: TenantId) => ({ tenant, at: '1970-01-01T00:00:00.000Z' })
      t.same(await answers, [...Array(20).fill(expected(one)), ...Array(20).fill(expected(two))])
      t.same(await load(one)(), expected(one), 'from the cache it looks as it did when it was loaded')
      t.same(loads.toSorted(), [one, two].toSorted())

      const failing = cache
        .forTenant(one)
        .getOrSet('failing', () => Promise.reject(new Error('of the product')))
      await t.rejects(failing, { message: 'of the product' })
      t.equal(await cache.forTenant(one).getOrSet('failing', async () => 'now it works'), 'now it works')
    })

    for (const change of ['delete', 'flush', 'set'] as const) {
      t.test(
        `what was loaded before a ${change} is not kept after it, in this process and in others`,
        async (t) => {
          const store = newStore()
          const tenant = await newTenant()
          const [here, there] = [newCache(store).forTenant(tenant), newCache(store).forTenant(tenant)]
          for (const changer of [here, there]) {
            const loading = Promise.withResolvers<void>()
            const gate = Promise.withResolvers<string>()
            const old = here.getOrSet('key', () => {
              loading.resolve()
              return gate.promise
            })
            await loading.promise
            if (change === 'set') await changer.set('key', 'new')
            else await changer[change]('key')
            const fresh = change === 'set' ? undefined : changer.getOrSet('key', async () => 'new')
            if (fresh) t.equal(await fresh, 'new', 'whoever asks now does not get the old one')
            gate.resolve('old')
            t.equal(await old, 'old')
            t.equal(await there.get('key'), 'new')
            await there.flush()
          }
        },
      )
    }

    t.test('a lease with which nothing is put is given up', async (t) => {
      const store = newStore()
      const tenant = await newTenant()
      const entries = newCache(store).forTenant(tenant)
      const forgetful = newCache({ ...bound(store), giveUp: async () => undefined }).forTenant(tenant)
      const endings = [
        async () => undefined,
        () => Promise.reject(new Error('of the product')),
        async () => BigInt(1),
      ]
      for (const [index, load] of endings.entries()) {
        const key = `key-${index}`
        const { lease } = await leaseOf(store, tenant, key)
        await entries.getOrSet(key, load).catch(() => undefined)
        t.not((await leaseOf(store, tenant, key)).lease, lease, 'there is a new one')
        const { lease: kept } = await leaseOf(store, tenant, `kept-${index}`)
        await forgetful.getOrSet(`kept-${index}`, load).catch(() => undefined)
        t.equal(
          (await leaseOf(store, tenant, `kept-${index}`)).lease,
          kept,
          'counter-test: nobody gives it up',
        )
      }
      const { lease } = await leaseOf(store, tenant, 'of another')
      await store.giveUp(tenant, 'of another', randomUUID())
      await store.giveUp(await newTenant(), 'of another', lease)
      t.equal((await leaseOf(store, tenant, 'of another')).lease, lease, 'only whoever has it can')
      await entries.set('of another', 'value')
      await store.giveUp(tenant, 'of another', lease)
      t.equal(await entries.get('of another'), 'value')
    })

    t.test('leases take room, and the oldest give way', async (t) => {
      const store = newStore()
      for (const [maxBytes, held] of [
        [10_000, false],
        [1_000_000, true],
      ] as const) {
        const [loud, quiet] = [await newTenant(), await newTenant()]
        const limits = { ttlMs: 60_000, maxBytes }
        const other = await leaseOf(store, quiet, 'key')
        const first = await leaseOf(store, loud, 'first', maxBytes)
        for (let index = 0; index < 100; index++)
          await leaseOf(store, loud, `${index}`.padStart(490), maxBytes)
        const last = await leaseOf(store, loud, 'last', maxBytes)
        t.equal(await store.set(loud, 'first', 'x', limits, first.lease), held, `of ${maxBytes} bytes`)
        t.equal(await store.set(loud, 'last', 'x', limits, last.lease), true)
        t.equal(await store.set(quiet, 'key', 'x', limits, other.lease), true)
      }
    })

    t.test('values are checked by the schema of whoever asks', async (t) => {
      const entries = newCache(newStore()).forTenant(await newTenant())
      const schema = z.object({ n: z.number() })
      await entries.set('key', { old: 'format' })
      t.equal(await entries.get('key', schema), undefined)
      t.same(await entries.getOrSet('key', async () => ({ n: 1, extra: 2 }), { schema }), { n: 1 })
      t.same(await entries.get('key', schema), { n: 1 })
      await t.rejects(
        entries.getOrSet('other', async () => ({ n: 'x' }), { schema }),
        { name: 'ZodError' },
      )
    })

    t.test('entries stay in the region of their tenant, and go when it moves', async (t) => {
      const stores = { [east]: newStore(), [europe]: newStore() }
      const cache = createTenantCache({ router, stores, patienceMs: 20_000 })
      const tenant = await newTenant(europe)
      await cache.forTenant(tenant).set('key', 'in Europe')
      t.equal(await stores[east]?.get(tenant, 'key'), undefined)
      t.equal(await stores[europe]?.get(tenant, 'key'), '"in Europe"')
      source.place(pool, tenant, { region: east })
      source.announce({ tenantId: tenant })
      t.equal(await cache.forTenant(tenant).get('key'), undefined)
      t.equal(await stores[europe]?.get(tenant, 'key'), undefined, 'nothing is left behind')
      const elsewhere = await newTenant(regionIdSchema.parse('ap-south'))
      await t.rejects(cache.forTenant(elsewhere).set('key', 1), { code: 'region_not_served' })
      const hostile = await newTenant(regionIdSchema.parse('constructor'))
      await t.rejects(cache.forTenant(hostile).set('key', 1), { code: 'region_not_served' })
    })
  })
}

t.test('a process’s memory is bounded, and whoever has most gives way', async (t) => {
  const cache = newCache(memoryStore({ maxBytes: 200_000 }), { quotaBytes: { default: 150_000 } })
  const small = await Promise.all(Array.from({ length: 20 }, () => newTenant()))
  for (const tenant of small) await cache.forTenant(tenant).set('kept', 'x')
  for (const loud of [await newTenant(), await newTenant(), await newTenant()]) {
    for (let index = 0; index < 300; index++) await cache.forTenant(loud).set(`${index}`, 'x'.repeat(1_000))
  }
  for (const tenant of small) t.equal(await cache.forTenant(tenant).get('kept'), 'x')
})

t.test('a store that is away is an empty cache; only who relies on an end of entries is told', async (t) => {
  const own = await startTestRedis()
  t.teardown(() => own.remove())
  const connection = new Redis(own.url, { retryStrategy: () => 50 })
  t.teardown(() => connection.disconnect())
  connection.on('error', () => undefined)
  const errors: unknown[] = []
  const cache = newCache(redisStore(connection), { patienceMs: 200, onError: (error) => errors.push(error) })
  const entries = cache.forTenant(await newTenant())
  await entries.set('key', 1)
  await own.kill()
  t.equal(await entries.get('key'), undefined)
  t.equal(await entries.set('key', 2), false)
  t.equal(await entries.getOrSet('key', async () => 3), 3)
  await t.rejects(entries.delete('key'), { code: 'cache_unavailable' })
  await t.rejects(entries.flush(), { code: 'cache_unavailable' })
  t.ok(errors.length >= 3)
  await own.start()
  while (!(await entries.set('key', 4)));
  t.equal(await entries.get('key'), 4)
})

t.test('Redis keeps all of a tenant in four keys, which end with their entries', async (t) => {
  const prefix = `cache-${randomUUID()}`
  const cache = newCache(redisStore(client, { prefix }))
  const [one, two] = [await newTenant(), await newTenant()]
  for (let index = 0; index < 50; index++) await cache.forTenant(one).set(`${index}`, index)
  await cache.forTenant(two).set('a', 1)
  const keys = await client.keys(`${prefix}*`)
  t.equal(keys.length, 8)
  for (const key of keys) t.ok((await client.pttl(key)) > 0)
  await client.set('of the product', 'kept')
  await cache.forTenant(one).flush()
  t.equal((await client.keys(`${prefix}*`)).length, 4)
  t.equal(await client.get('of the product'), 'kept')
})

t.test('what Redis spends on a tenant stays near its quota, whatever is asked for', async (t) => {
  const QUOTA_BYTES = 10_000
  const prefix = `cache-${randomUUID()}`
  const store = redisStore(client, { prefix })
  const spentOn = async (tenant: TenantId) => {
    const keys = await client.keys(`${prefix}:{${tenant}}:*`)
    const sizes = await Promise.all(keys.map((key) => client.memory('USAGE', key, 'SAMPLES', 0)))
    return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
  }
  /** Asks for 3,000 long keys of which none is ever loaded. */
  const flood = async (of: CacheStore, quotaBytes: number) => {
    const tenant = await newTenant()
    const entries = newCache(of, { quotaBytes: { default: quotaBytes } }).forTenant(tenant)
    for (let round = 0; round < 30; round++) {
      const keys = Array.from({ length: 100 }, (_, index) => `${round}-${index}`.padStart(490, 'x'))
      await Promise.all(keys.map((key) => entries.getOrSet(key, async () => undefined)))
    }
    return spentOn(tenant)
  }
  const crashing: CacheStore = { ...store, giveUp: async () => undefined }
  t.ok((await flood(store, QUOTA_BYTES)) < 1_000, 'nothing is left of what was not found')
  t.ok((await flood(crashing, QUOTA_BYTES)) < 5 * QUOTA_BYTES, 'nor much of what nobody gave up')
  const unbounded = await flood(crashing, 2 ** 30)
  t.ok(unbounded > 100 * QUOTA_BYTES, `counter-test: without a quota it grows to ${unbounded} bytes`)
})

t.test('a server that evicts one of the four keys does not make room without end', async (t) => {
  const prefix = `cache-${randomUUID()}`
  const store = redisStore(client, { prefix })
  const limits = { ttlMs: 60_000, maxBytes: 10_000 }
  for (const evicted of ['values', 'used', 'expiry', 'bytes']) {
    const tenant = await newTenant()
    for (let index = 0; index < 50; index++) {
      await store.set(tenant, `${index}`, 'x'.repeat(900), limits)
      if (index % 7 === 6) await client.del(`${prefix}:{${tenant}}:${evicted}`)
    }
    const count = await client.hlen(`${prefix}:{${tenant}}:values`)
    t.ok(count > 0 && count <= 10, `${evicted}: ${count} entries`)
    t.equal(await store.get(tenant, '49'), 'x'.repeat(900))
  }
})
