import { setTimeout as sleep } from 'node:timers/promises'
import { type Epoch, epochSchema } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { createItemsDatabase, createOwnSchema, homeAt, setResident } from '../../../test/kit/tenants.ts'
import { allIdle, prepareRouterGround } from './router-ground.ts'

const ground = await prepareRouterGround('coming-home', { maxConnectionsPerDatabase: 4 })
t.teardown(() => ground.remove())
const { source } = ground
const pool = await createItemsDatabase(ground.prepared, 'pool')
const silo = await createItemsDatabase(ground.prepared, 'silo')

/** A tenant of the pool, and a router of its own that knows where it is. */
async function knownTenant() {
  const tenantId = await ground.newTenant(pool)
  const router = ground.newRouter()
  const items = () => router.forTenant(tenantId).selectFrom('items').select('id').execute()
  const write = (id: number) =>
    router.forTenant(tenantId).insertInto('items').values({ id, name: 'x' }).execute()
  /** Says where it is about to live, and returns when the router has had time to hear of it. */
  const prepare = async (home: ReturnType<typeof homeAt>) => {
    source.coming.set(tenantId, home)
    source.announce({ tenantId, coming: true })
    await sleep(50)
  }
  await items()
  return { tenantId, router, items, write, prepare }
}

t.test('while a tenant is switched, readers go on with the home they know until another is', async (t) => {
  const { tenantId, router, items: read } = await knownTenant()
  source.announce({ tenantId, coming: true })
  const answer = Promise.withResolvers<void>()
  source.gate = answer.promise
  const asked = source.lookups
  const { misses } = router.metrics().placements
  source.announce({ tenantId })
  t.equal(source.lookups, asked + 1, 'asked before anybody wants to know')
  await setResident(pool, tenantId, 'sealed')
  await read()
  t.equal(router.metrics().placements.misses, misses, 'nobody has waited for the answer')
  await setResident(silo, tenantId, 'frozen', 2)
  source.place(silo, tenantId, { epoch: epochSchema.parse(2) })
  await setResident(pool, tenantId, 'moved')
  const detour = read()
  source.gate = undefined
  answer.resolve()
  await detour
  await read()
  t.equal(router.connections().get(silo.id)?.size, 1)

  source.gate = new Promise(() => undefined)
  source.announce({ tenantId, openSince: epochSchema.parse(2) })
  await read()
  source.announce({ tenantId })
  const waits = read().then(() => 'read')
  t.equal(await Promise.race([waits, sleep(100)]), undefined, 'of a tenant at rest any news is waited for')
  source.gate = undefined
  source.announce('all')
  await waits
})

t.test('whoever was told where a tenant is coming goes there without asking, once it has come', async (t) => {
  const { tenantId, router, items, write, prepare } = await knownTenant()
  await write(1)
  const second = epochSchema.parse(2)
  const asked = source.lookups
  source.gate = new Promise(() => undefined)

  await prepare(homeAt(silo, tenantId))
  await setResident(silo, tenantId, 'standby', 2)
  await write(2)
  t.equal((await items()).length, 2, 'where it is, until it has come')
  await setResident(pool, tenantId, 'sealed')
  const waiting = [3, 4].map(write)
  while (router.metrics().heldTenants === 0) await sleep(1)
  await setResident(silo, tenantId, 'active', 2)
  source.place(silo, tenantId, { epoch: second })
  source.announce({ tenantId, openSince: second })
  await Promise.all(waiting)
  t.equal((await items()).length, 2, 'at its new home')
  t.equal(source.lookups, asked, 'nobody has asked')

  await prepare(homeAt(pool, tenantId, { isolation: 'pool', epoch: epochSchema.parse(3) }))
  await setResident(pool, tenantId, 'active', 3)
  await setResident(silo, tenantId, 'moved', 2)
  t.equal((await items()).length, 2, 'who is refused looks where it was to come')
  t.equal(source.lookups, asked)
  source.gate = undefined
  await allIdle(t, router)
})

t.test('told that the home is the expected one, readers go there at once, and nobody asks', async (t) => {
  const { tenantId, router, items, write, prepare } = await knownTenant()
  const second = epochSchema.parse(2)
  await prepare(homeAt(silo, tenantId))
  await setResident(silo, tenantId, 'frozen', 2)
  await setResident(pool, tenantId, 'sealed')
  const asked = source.lookups
  source.gate = new Promise(() => undefined)
  t.teardown(() => {
    source.gate = undefined
  })
  const waiting = write(1)
  while (router.metrics().heldTenants === 0) await sleep(1)
  source.announce({ tenantId, homeSince: second })
  await setResident(pool, tenantId, 'moved')
  const { rereads } = router.metrics().placements
  t.equal((await items()).length, 0, 'at its new home')
  t.equal(router.metrics().placements.rereads, rereads, 'without a detour')
  t.equal(router.metrics().heldTenants, 1, 'writers wait until they are told')
  await setResident(silo, tenantId, 'active', 2)
  source.announce({ tenantId, openSince: second })
  await waiting
  t.equal((await items()).length, 1)
  t.equal(source.lookups, asked)
})

t.test('a home of another epoch than the expected one is asked for', async (t) => {
  const { tenantId, items, prepare } = await knownTenant()
  await prepare(homeAt(silo, tenantId))
  const asked = source.lookups
  await setResident(silo, tenantId, 'active', 3)
  source.place(silo, tenantId, { epoch: epochSchema.parse(3) })
  await setResident(pool, tenantId, 'moved')
  source.announce({ tenantId, homeSince: epochSchema.parse(3) })
  t.equal(source.lookups, asked + 1)
  t.equal((await items()).length, 0)
})

t.test('where a move that came to nothing was to lead is not where the next one leads', async (t) => {
  const second = epochSchema.parse(2)
  await createOwnSchema(silo, 'own')
  for (const isUnanswered of [true, false]) {
    const { tenantId, router, items, prepare } = await knownTenant()
    const first = homeAt(silo, tenantId)
    await prepare(first)
    const late = Promise.withResolvers<typeof first>()
    const asksInVain = async () => {
      source.failure = new Error('the catalog is away')
      await prepare(first)
      source.failure = undefined
    }
    // The same database and epoch, and so the same key; but the tenant has a schema of its own there.
    const own = { epoch: second, isolation: 'schema', schema: 'own' } as const
    const asksTwice = async () => {
      const { comingHome } = source
      source.comingHome = () => late.promise
      await prepare(first)
      source.comingHome = comingHome
      await prepare(homeAt(silo, tenantId, own))
      late.resolve(first)
      await sleep(10)
    }
    await (isUnanswered ? asksInVain() : asksTwice())
    await setResident(silo, tenantId, 'active', 2, 'own')
    source.place(silo, tenantId, own)
    await setResident(pool, tenantId, 'moved')
    source.announce({ tenantId, homeSince: second })
    source.announce({ tenantId, openSince: second })
    await items()
    t.equal((await router.tenant(tenantId)).isolation, 'schema')
    await withClient(silo.owner, 'test', (client) =>
      client.query('delete from freehold.resident where tenant_id = $1', [tenantId]),
    )
  }
})

t.test(
  'writers of an announced switch go on when it is called off, whether they are told or not',
  async () => {
    for (const told of [true, false]) {
      const { tenantId, router, write, prepare } = await knownTenant()
      await prepare(homeAt(silo, tenantId))
      await setResident(pool, tenantId, 'fenced')
      const waiting = write(1)
      while (router.metrics().heldTenants === 0) await sleep(1)
      await setResident(pool, tenantId, 'active')
      if (told) source.announce({ tenantId, openSince: epochSchema.parse(1) })
      await waiting
    }
  },
)

t.test('a tenant that does not come to where it was expected is asked for', async (t) => {
  const { tenantId, router, items, prepare } = await knownTenant()
  const [second, third] = [2, 3].map((epoch) => epochSchema.parse(epoch)) as [Epoch, Epoch]
  await prepare(homeAt(pool, tenantId, { isolation: 'pool' }))
  await setResident(silo, tenantId, 'active', 2)
  await setResident(pool, tenantId, 'moved')
  source.place(silo, tenantId, { epoch: second })
  t.equal((await items()).length, 0, 'it has gone elsewhere')

  await prepare(homeAt(pool, tenantId, { isolation: 'pool', epoch: third }))
  const answer = Promise.withResolvers<void>()
  source.gate = answer.promise
  source.announce({ tenantId })
  await setResident(pool, tenantId, 'active', 3)
  await setResident(silo, tenantId, 'moved', 2)
  source.announce({ tenantId, openSince: third })
  await items()
  source.gate = undefined
  answer.resolve()
  await sleep(10)
  source.place(pool, tenantId, { epoch: third, status: 'suspended' })
  const { rereads } = router.metrics().placements
  await t.rejects(items(), { code: 'tenant_suspended' }, 'an answer from before it came leaves a question')
  t.equal(router.metrics().placements.rereads, rereads, 'and leads nobody back')
})

t.test('a home that cannot be reached for a moment is not taken for one that was left', async (t) => {
  const { tenantId, items, prepare } = await knownTenant()
  await prepare(homeAt(silo, tenantId))
  await setResident(silo, tenantId, 'standby', 2)
  source.failure = new Error('the catalog is away')
  t.teardown(() => {
    source.failure = undefined
  })
  const limit = (connections: number) =>
    withClient(pool.superuser, 'test', (client) =>
      client.query(`alter database pool connection limit ${connections}`),
    )
  await limit(0)
  await withClient(pool.superuser, 'test', (client) =>
    client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = 'pool' and usename = 'freehold_app'`,
    ),
  )
  await sleep(50)
  await t.rejects(items(), { code: 'database_unavailable' })
  await limit(-1)
  t.equal((await items()).length, 0, 'it lives there as before, and the catalog is not needed')
})

t.test('what was heard of a tenant and not answered is asked for where it has come, too', async (t) => {
  const { tenantId, items, prepare } = await knownTenant()
  await prepare(homeAt(silo, tenantId))
  source.failure = new Error('the catalog is away')
  source.announce({ tenantId })
  await sleep(10)
  source.failure = undefined
  await setResident(silo, tenantId, 'active', 2)
  source.place(silo, tenantId, { epoch: epochSchema.parse(2), status: 'suspended' })
  source.announce({ tenantId, openSince: epochSchema.parse(2) })
  await t.rejects(items(), { code: 'tenant_suspended' })
})

t.test(
  'writers who wait go on when they are told that they can, and whoever says so too early does no harm',
  async (t) => {
    const { tenantId, router, items, write } = await knownTenant()
    await write(1)
    await setResident(pool, tenantId, 'sealed')
    const waiting = [2, 3, 4].map(write)
    while (router.metrics().heldTenants === 0) await sleep(1)
    source.announce({ tenantId, openSince: epochSchema.parse(1) })
    source.announce({ tenantId, openSince: epochSchema.parse(9) })
    t.equal(await Promise.race([Promise.all(waiting), sleep(50)]), undefined, 'still held')
    t.equal(router.metrics().heldTenants, 1)
    await setResident(silo, tenantId, 'active', 2)
    source.place(silo, tenantId, { epoch: epochSchema.parse(2) })
    source.announce({ tenantId, openSince: epochSchema.parse(2) })
    await Promise.all(waiting)
    t.equal(router.metrics().heldTenants, 0)
    await setResident(pool, tenantId, 'moved')
    const asked = source.lookups
    source.announce({ tenantId, openSince: epochSchema.parse(2) })
    await write(5)
    t.equal(source.lookups, asked, 'what is known of that home is not asked for again')
    t.equal((await items()).length, 4)
    await allIdle(t, router)
  },
)
