import { setTimeout as sleep } from 'node:timers/promises'
import { createRouteSource } from '@freehold/catalog'
import { closeClient, connectClient, withClient } from '@freehold/postgres'
import { createRouter } from '@freehold/tenancy'
import t, { type Test } from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { prepareMovingGround, TEST_ENTRY_SECRET } from '../kit/moving-ground.ts'

/** What a router takes to ask where a tenant is coming, from the moment in which the switch is prepared; and what it is given. */
const ASKING_MS = 1_000
const CONNECTING_MS = 20_000

const ground = await prepareMovingGround()
t.teardown(() => ground.remove())

t.test(
  'a router that knows the tenant has connected to its coming home when the switch begins',
  async (t) => {
    const tenant = await ground.tenant('awaited', 20)
    const prepared = Promise.withResolvers<void>()
    const reader = ground.us.as('freehold_reader', 'freehold_catalog')
    const source = createRouteSource({ address: reader, applicationName: 'test-router' })
    const router = createRouter<{ customers: { id: string } }>({
      source: {
        subscribe: (listener) => source.subscribe(listener),
        lookup: (tenantId) => source.lookup(tenantId),
        async comingHome(tenantId) {
          await prepared.promise
          await sleep(ASKING_MS)
          return source.comingHome(tenantId)
        },
      },
      entrySecret: TEST_ENTRY_SECRET,
    })
    t.teardown(async () => {
      await router.close()
      await source.close()
    })
    t.equal((await router.forTenant(tenant.id).selectFrom('customers').select('id').execute()).length, 20)

    const move = await ground.startMove(tenant)
    let connected: number | undefined
    const engine = ground.engine({
      settings: { routersConnectMs: CONNECTING_MS },
      barrier: async (name) => {
        if (name === 'cutover.entered') prepared.resolve()
        if (name === 'cutover.intended')
          connected = await routersAt((await ground.catalog.moves.get(move.id)).to.database)
      },
    })
    engine.start()
    t.equal((await ground.ended(move.id, 300_000)).phase, 'completed')
    await engine.stop()
    t.ok(connected, 'before any writer has to wait')
  },
)

t.test('routers are told when a switch is called off under the fence, and of the next anew', async (t) => {
  const tenant = await ground.tenant('called-off', 20)
  const router = newRouter(t)
  const heard: string[] = []
  const end = await ground.catalog.announcements.subscribe((announcement) => {
    const { kind } = announcement
    if (kind === 'open') heard.push(`open ${announcement.epoch}`)
    if (kind === 'coming') heard.push(kind)
  })
  t.teardown(end)
  const db = router.forTenant(tenant.id)
  const commit = Promise.withResolvers<void>()
  let writing: Promise<unknown> | undefined
  const write = () => {
    const begun = Promise.withResolvers<void>()
    writing = db.transaction().execute(async (trx) => {
      await trx.updateTable('customers').set({ name: 'written for long' }).execute()
      begun.resolve()
      await commit.promise
    })
    return begun.promise
  }

  const move = await ground.startMove(tenant)
  const engine = ground.engine({
    settings: { lockTimeoutMs: 200 },
    barrier: async (name) => {
      if (name === 'cutover.rehearsed') t.equal(await touchedMarks(tenant.id), 0, 'writers enter as before')
      if (name === 'cutover.rehearsed' && writing === undefined) await write()
      if (name === 'cutover.withdrawn') commit.resolve()
    },
  })
  engine.start()
  t.equal((await ground.ended(move.id, 300_000)).phase, 'completed')
  await engine.stop()
  await writing
  while (!heard.includes('open 2')) await sleep(10)
  const [calledOff, after] = [heard.indexOf('open 1'), heard.lastIndexOf('coming')]
  t.ok(
    heard.indexOf('coming') < calledOff && calledOff < after && after < heard.indexOf('open 2'),
    `${heard}`,
  )
  const names = await db.selectFrom('customers').select('name').distinct().execute()
  t.same(names, [{ name: 'written for long' }])

  const { to } = await ground.catalog.moves.get(move.id)
  for (const level of ['read committed', 'repeatable read'] as const) {
    const written = await db
      .transaction()
      .setIsolationLevel(level)
      .execute((trx) => trx.updateTable('customers').set({ name: level }).executeTakeFirst())
    t.equal(written.numUpdatedRows, 20n)
    const marks = await touchedMarks(tenant.id, asSuperuser(ground.eu.cluster, to.database))
    t.equal(marks, 0, `where the tenant has moved to, its mark is locked by no writer: ${level}`)
  }
})

t.test('who is told that a switch is called off can write, whatever the worker does next', async (t) => {
  const tenant = await ground.tenant('let-go', 20)
  const router = newRouter(t)
  const unentered = await connectClient(asSuperuser(ground.us.cluster, 'pool'), 'test')
  t.teardown(() => closeClient(unentered))
  const write = () => router.forTenant(tenant.id).updateTable('customers').set({ name: 'let go' }).execute()
  await write()

  let written: unknown
  const move = await ground.startMove(tenant)
  const engine = ground.engine({
    settings: { fenceExpiryMs: 120_000 },
    barrier: async (name) => {
      // Whom the lock does not keep out, so that the switch is called off by the seal.
      if (name === 'cutover.drained' && written === undefined)
        await unentered.query('begin; lock table customers in row exclusive mode')
      if (name !== 'cutover.unfenced' || written !== undefined) return
      written = await write().catch((error: unknown) => error)
      await unentered.query('rollback')
    },
  })
  engine.start()
  t.equal((await ground.ended(move.id, 300_000)).phase, 'completed')
  await engine.stop()
  t.match(written, [{ numUpdatedRows: 20n }])
})

/** A router over the catalog, which is closed with the test. */
function newRouter(t: Test) {
  const source = createRouteSource({
    address: ground.us.as('freehold_reader', 'freehold_catalog'),
    applicationName: 'test-router',
  })
  const router = createRouter<{ customers: { id: string; name: string } }>({
    source,
    entrySecret: TEST_ENTRY_SECRET,
  })
  t.teardown(async () => {
    await router.close()
    await source.close()
  })
  return router
}

/** Marks of a tenant that look replaced, because a transaction has locked or changed them, whether or not it has committed. */
async function touchedMarks(
  tenantId: string,
  database = asSuperuser(ground.us.cluster, 'pool'),
): Promise<number> {
  return withClient(database, 'test', async (client) => {
    const found = await client.query("select from freehold.resident where tenant_id = $1 and xmax <> '0'", [
      tenantId,
    ])
    return found.rowCount ?? 0
  })
}

async function routersAt(database: string): Promise<number> {
  return withClient(asSuperuser(ground.eu.cluster, 'postgres'), 'test', async (client) => {
    const found = await client.query(
      "select from pg_stat_activity where datname = $1 and application_name = 'freehold-router'",
      [database],
    )
    return found.rowCount ?? 0
  })
}
