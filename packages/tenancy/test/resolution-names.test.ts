import { setTimeout as sleep } from 'node:timers/promises'
import type { TenantId } from '@freehold/contract'
import t from 'tap'
import { newTenantId } from '../../../test/kit/tenants.ts'
import { NameCache, type NameCacheOptions } from '../src/fastify/resolution/name-cache.ts'

/** A directory in memory that counts, can be held up, and can be away. */
function directory(options: Partial<NameCacheOptions<string, TenantId>> = {}) {
  const tenants = new Map<string, TenantId>()
  const state: { lookups: number; gate: Promise<void> | undefined; failure: Error | undefined } = {
    lookups: 0,
    gate: undefined,
    failure: undefined,
  }
  const cache = new NameCache<string, TenantId>({
    async lookup(name) {
      state.lookups++
      const found = tenants.get(name) ?? null
      await state.gate
      if (state.failure) throw state.failure
      return found
    },
    tenantOf: (id) => id,
    freshMs: 60_000,
    servesStale: true,
    ...options,
  })
  return { cache, tenants, state }
}

t.test('a name is looked up once, however many ask', async (t) => {
  const { cache, tenants, state } = directory()
  const one = newTenantId()
  tenants.set('one', one)
  const gate = Promise.withResolvers<void>()
  state.gate = gate.promise
  const asked = Array.from({ length: 50 }, () => cache.get('one'))
  gate.resolve()
  t.same(new Set(await Promise.all(asked)), new Set([one]))
  t.equal(await cache.get('one'), one)
  t.equal(state.lookups, 1)
})

t.test('a change of a tenant makes its names be asked for again, and no others', async (t) => {
  const { cache, tenants, state } = directory()
  const [one, two] = [newTenantId(), newTenantId()]
  for (const name of ['one', 'uno', 'moving']) tenants.set(name, one)
  tenants.set('two', two)
  for (const name of tenants.keys()) await cache.get(name)
  t.equal(await cache.get('late'), null)
  t.equal(state.lookups, 5)

  tenants.set('moving', two)
  tenants.set('late', two)
  cache.invalidate({ tenantId: one })
  t.equal(await cache.get('moving'), two)
  t.equal(await cache.get('late'), two, 'what was unknown may have come to be')
  t.equal(await cache.get('two'), two)
  t.equal(state.lookups, 7)
  cache.invalidate({ tenantId: two })
  t.equal(await cache.get('moving'), two)
  t.equal(state.lookups, 8, 'it is the name of the tenant to whom it went')
  t.equal(await cache.get('one'), one)
  t.equal(await cache.get('one'), one)
  t.equal(state.lookups, 9)

  tenants.delete('one')
  cache.invalidate('all')
  t.equal(await cache.get('one'), null)
  t.equal(await cache.get('uno'), one)
  t.equal(state.lookups, 11)
})

t.test('an answer that a change has overtaken is not kept', async (t) => {
  const { cache, tenants, state } = directory()
  const [one, two] = [newTenantId(), newTenantId()]
  tenants.set('name', one)
  const gate = Promise.withResolvers<void>()
  state.gate = gate.promise
  const early = cache.get('name')
  tenants.set('name', two)
  cache.invalidate({ tenantId: one })
  const late = cache.get('name')
  gate.resolve()
  t.equal(await early, one, 'good enough for who asked before')
  t.equal(await late, two, 'who asks after is not answered with it')
  t.equal(await cache.get('name'), two)
  t.equal(state.lookups, 2)
})

t.test('unknown names are remembered briefly', async (t) => {
  const { cache, tenants, state } = directory()
  t.equal(await cache.get('name'), null)
  const asked = state.lookups
  const begun = performance.now()
  t.equal(await cache.get('name'), null)
  if (performance.now() - begun < 500) t.equal(state.lookups, asked)
  const one = newTenantId()
  tenants.set('name', one)
  await sleep(1_050)
  t.equal(await cache.get('name'), one)
})

t.test('it is bounded, and a flood of made-up names drives out no real one', async (t) => {
  const { cache, tenants, state } = directory({ maxNames: 3 })
  const one = newTenantId()
  for (const name of ['a', 'b', 'c', 'd']) tenants.set(name, one)
  for (const name of ['a', 'b', 'c']) await cache.get(name)
  await cache.get('a')
  await cache.get('d')
  t.equal(state.lookups, 4)
  for (const name of ['a', 'c', 'd']) await cache.get(name)
  t.equal(state.lookups, 4, 'what was used last is there')
  await cache.get('b')
  t.equal(state.lookups, 5, 'what was not used is not')
  for (let flood = 0; flood < 30_000; flood++) await cache.get(`made-up-${flood}`)
  const before = state.lookups
  for (const name of ['c', 'd', 'b']) await cache.get(name)
  t.equal(state.lookups, before)
  cache.invalidate({ tenantId: one })
  await cache.get('b')
  t.equal(state.lookups, before + 1)
})

t.test('while the directory is away, names go on and keys do not', async (t) => {
  const unavailable = { code: 'catalog_unavailable', retryAfterSeconds: 1 }
  for (const servesStale of [true, false]) {
    const { cache, tenants, state } = directory({ servesStale })
    const one = newTenantId()
    tenants.set('name', one)
    await cache.get('name')
    state.failure = new Error('down')
    t.equal(await cache.get('name'), one, 'fresh')
    cache.invalidate('all')
    if (servesStale) t.equal(await cache.get('name'), one, 'stale')
    else await t.rejects(cache.get('name'), unavailable)
    await t.rejects(cache.get('another'), unavailable)
    state.failure = undefined
    cache.invalidate('all')
    t.equal(await cache.get('name'), one, 'it is back')
  }
})

t.test('a directory that does not answer holds up nobody for long who can go on without', async (t) => {
  const { cache, tenants, state } = directory({ freshMs: 1 })
  const one = newTenantId()
  tenants.set('name', one)
  await cache.get('name')
  await sleep(5)
  const gate = Promise.withResolvers<void>()
  state.gate = gate.promise
  t.equal(await cache.get('name'), one)
  gate.resolve()
})
