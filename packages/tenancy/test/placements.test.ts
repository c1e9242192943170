import { setTimeout as sleep } from 'node:timers/promises'
import { epochSchema } from '@freehold/contract'
import { type HeldEvent, type PlacementChangedEvent, routerEvents } from '@freehold/tenancy'
import t from 'tap'
import { createItemsDatabase, newTenantId, setResident } from '../../../test/kit/tenants.ts'
import { allIdle, prepareRouterGround } from './router-ground.ts'

const ground = await prepareRouterGround('placements', { maxConnectionsPerDatabase: 4 })
t.teardown(() => ground.remove())
const { source, newRouter, move } = ground
const pool = await createItemsDatabase(ground.prepared, 'pool')
const silo = await createItemsDatabase(ground.prepared, 'silo')
const router = newRouter()
const newTenant = () => ground.newTenant(pool)

t.test('an old placement costs a detour', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  await db.insertInto('items').values({ id: 1, name: 'in the pool' }).execute()
  const changes: PlacementChangedEvent[] = []
  t.teardown(routerEvents.onPlacementChanged((event) => changes.push(event)))
  await move(tenantId, pool, silo, 2)
  t.same(await db.selectFrom('items').selectAll().execute(), [], 'read at the new home')
  await db.insertInto('items').values({ id: 2, name: 'in the silo' }).execute()
  t.same(changes, [
    { tenantId, from: source.routes.get(tenantId) && { ...changes[0]?.from }, to: { ...changes[0]?.to } },
  ])
  t.match(changes[0], {
    from: { dataDatabaseId: pool.id, epoch: 1 },
    to: { dataDatabaseId: silo.id, epoch: 2 },
  })

  await move(tenantId, silo, pool, 3)
  await db.transaction().execute(async (trx) => {
    t.same(await trx.selectFrom('items').select('name').execute(), [{ name: 'in the pool' }])
  })
  await move(tenantId, pool, silo, 4)
  for await (const row of db.selectFrom('items').select('name').stream()) t.same(row, { name: 'in the silo' })

  const lookups = source.lookups
  await Promise.all(Array.from({ length: 20 }, () => db.selectFrom('items').selectAll().execute()))
  t.equal(source.lookups, lookups, 'asked once, remembered')
  source.announce({ tenantId })
  await Promise.all(Array.from({ length: 20 }, () => db.selectFrom('items').selectAll().execute()))
  t.equal(source.lookups, lookups + 1, 'asked once again after an announcement, by all together')
  source.announce('all')
  await db.selectFrom('items').selectAll().execute()
  t.equal(source.lookups, lookups + 2)
  await allIdle(t, router)
})

t.test('writers are held for a cutover and go on at the new home', async (t) => {
  const tenantId = await newTenant()
  const neighbour = router.forTenant(await newTenant())
  const db = router.forTenant(tenantId)
  const held: HeldEvent[] = []
  t.teardown(routerEvents.onHeld((event) => held.push(event)))
  await db.selectFrom('items').selectAll().execute()
  await setResident(pool, tenantId, 'fenced')
  let done = 0
  const writes = Promise.all([
    ...Array.from({ length: 30 }, (_, id) =>
      db
        .insertInto('items')
        .values({ id, name: 'held' })
        .execute()
        .then(() => done++),
    ),
    db.transaction().execute((trx) => trx.insertInto('items').values({ id: 100, name: 'held' }).execute()),
    db
      .transaction()
      .setIsolationLevel('serializable')
      .execute((trx) => trx.insertInto('items').values({ id: 101, name: 'held' }).execute()),
  ])
  await sleep(100)
  t.equal(done, 0)
  t.same(await db.selectFrom('items').selectAll().execute(), [], 'reads go on')
  for (let id = 0; id < 8; id++) await neighbour.insertInto('items').values({ id, name: 'x' }).execute()
  t.pass('a neighbour is not starved')
  await setResident(pool, tenantId, 'sealed')
  await setResident(silo, tenantId, 'frozen', 2)
  source.place(silo, tenantId, { epoch: epochSchema.parse(2) })
  source.announce({ tenantId })
  await sleep(30)
  t.equal(done, 0, 'still held by the frozen target')
  await setResident(pool, tenantId, 'moved')
  await setResident(silo, tenantId, 'active', 2)
  await writes
  t.equal((await db.selectFrom('items').selectAll().execute()).length, 32, 'each once, at the new home')
  t.ok(held.length >= 32)
  t.ok(held.every((event) => event.tenantId === tenantId && event.released && event.heldMs < 1_000))
  await allIdle(t, router)
})

t.test('a fence that is lifted lets writers go on, with no announcement', async () => {
  const tenantId = await newTenant()
  await setResident(pool, tenantId, 'fenced')
  const writing = router.forTenant(tenantId).insertInto('items').values({ id: 1, name: 'x' }).execute()
  await sleep(50)
  await setResident(pool, tenantId, 'active')
  await writing
})

t.test('waits end at the deadline', async (t) => {
  const impatient = newRouter({ holdDeadlineMs: 150 })
  const tenantId = await newTenant()
  const db = impatient.forTenant(tenantId)
  await setResident(pool, tenantId, 'fenced')
  const start = performance.now()
  const writes = Array.from({ length: 5 }, (_, id) =>
    db.insertInto('items').values({ id, name: 'x' }).execute(),
  )
  for (const write of await Promise.allSettled(writes)) {
    t.match(write, { status: 'rejected', reason: { code: 'tenant_held', status: 503, retryAfterSeconds: 1 } })
  }
  const waited = performance.now() - start
  t.ok(waited >= 140 && waited < 400, `${waited} ms`)
  await t.rejects(
    db.transaction().execute(async () => t.fail('not called')),
    { code: 'tenant_held' },
  )
  t.same(await db.selectFrom('items').selectAll().execute(), [])
  await setResident(pool, tenantId, 'moved')
  await t.rejects(db.selectFrom('items').selectAll().execute(), { code: 'not_resident', status: 503 })
  await t.rejects(db.insertInto('items').values({ id: 1, name: 'x' }).execute(), { code: 'not_resident' })
  await setResident(pool, tenantId, 'active')
  t.same(await db.selectFrom('items').selectAll().execute(), [], 'nothing was written')
  await allIdle(t, impatient)
})

t.test('suspended tenants', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  await db.selectFrom('items').selectAll().execute()
  source.place(pool, tenantId, { status: 'suspended' })
  source.announce({ tenantId })
  await t.rejects(db.selectFrom('items').selectAll().execute(), { code: 'tenant_suspended' })
  await t.rejects(router.tenant(tenantId), { code: 'tenant_suspended' })
  source.place(pool, tenantId)
  source.announce({ tenantId })
  t.same(await db.selectFrom('items').selectAll().execute(), [])
})

t.test('a new tenant is found as soon as it is announced', async (t) => {
  const tenantId = newTenantId()
  const db = router.forTenant(tenantId)
  await t.rejects(db.selectFrom('items').selectAll().execute(), { code: 'tenant_not_found' })
  const lookups = source.lookups
  await t.rejects(db.selectFrom('items').selectAll().execute(), { code: 'tenant_not_found' })
  t.equal(source.lookups, lookups, 'its absence is remembered for a while')
  await setResident(pool, tenantId)
  source.place(pool, tenantId)
  source.announce({ tenantId })
  t.same(await db.selectFrom('items').selectAll().execute(), [])
})
