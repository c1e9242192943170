import { setTimeout as sleep } from 'node:timers/promises'
import { epochSchema, type TenantId } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { createRouter } from '@freehold/tenancy'
import { sql } from 'kysely'
import t from 'tap'
import { startCuttableProxy } from '../../../test/kit/cuttable-proxy.ts'
import { createItemsDatabase, setResident, testEntrySecret } from '../../../test/kit/tenants.ts'
import { allIdle, prepareRouterGround } from './router-ground.ts'

const ground = await prepareRouterGround('failures', { maxConnectionsPerDatabase: 3 })
const { prepared, source, newRouter } = ground
const direct = await createItemsDatabase(prepared, 'pool')
const proxy = await startCuttableProxy(direct.app)
const pool = { ...direct, app: proxy.address }
t.teardown(async () => {
  await ground.remove()
  await proxy.close()
})

const newTenant = () => ground.newTenant(pool)

/** What is in the database, whatever the router thinks. */
const rowsOf = (tenantId: TenantId) =>
  withClient(direct.superuser, 'test', async (client) => {
    const { rows } = await client.query('select id from items where tenant_id = $1 order by id', [tenantId])
    return rows.map((row) => Number(row.id))
  })

/** Ends the sessions of the router, when they run something or are idle. */
const terminate = (state: 'active' | 'idle' | 'idle in transaction') =>
  withClient(direct.superuser, 'test', async (client) => {
    for (let tries = 0; tries < 100; tries++) {
      const ended = await client.query(
        `select pg_terminate_backend(pid, 5000) from pg_stat_activity
         where application_name = 'freehold-router' and state = $1`,
        [state],
      )
      if (ended.rowCount) return
      await sleep(10)
    }
    throw new Error(`no session is ${state}`)
  })

const slowly = (seconds: number) => sql<number>`length(pg_sleep(${sql.lit(seconds)})::text)`

t.test('the catalog is down', async (t) => {
  const router = newRouter()
  const tenantId = await newTenant()
  const stranger = router.forTenant(await newTenant())
  const db = router.forTenant(tenantId)
  await db.selectFrom('items').selectAll().execute()
  t.teardown(() => {
    source.failure = undefined
    source.gate = undefined
  })
  source.failure = new Error('the catalog is down')
  source.announce('all')
  for (let times = 0; times < 5; times++) {
    t.same(await db.selectFrom('items').selectAll().execute(), [], 'known tenants are served')
  }
  await db.insertInto('items').values({ id: 1, name: 'x' }).execute()
  const lookups = source.lookups
  for (let times = 0; times < 5; times++) await db.selectFrom('items').selectAll().execute()
  t.equal(source.lookups, lookups, 'and the catalog is left alone for a while')
  await t.rejects(stranger.selectFrom('items').selectAll().execute(), {
    code: 'catalog_unavailable',
    status: 503,
    retryAfterSeconds: 1,
  })
  source.failure = undefined
  t.same(await stranger.selectFrom('items').selectAll().execute(), [])

  const { promise, resolve } = Promise.withResolvers<void>()
  source.gate = promise
  source.announce('all')
  const start = performance.now()
  await db.selectFrom('items').selectAll().execute()
  const waited = performance.now() - start
  t.ok(waited > 400 && waited < 1_500, `a catalog that hangs is waited for briefly: ${waited} ms`)
  const again = performance.now()
  for (let asked = 0; asked < 10; asked++) await db.selectFrom('items').selectAll().execute()
  t.ok(performance.now() - again < 10 * waited, 'and not by every request')
  source.gate = undefined
  resolve()
})

t.test('an answer that was overtaken by a change is not believed', async (t) => {
  const router = newRouter()
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  const { promise, resolve } = Promise.withResolvers<void>()
  source.gate = promise
  source.place(pool, tenantId, { status: 'suspended' })
  const first = db.selectFrom('items').selectAll().execute()
  await sleep(20)
  source.gate = undefined
  source.place(pool, tenantId)
  source.announce({ tenantId })
  t.same(await db.selectFrom('items').selectAll().execute(), [])
  resolve()
  await t.rejects(first, { code: 'tenant_suspended' })
  t.same(await db.selectFrom('items').selectAll().execute(), [], 'the older answer is not kept')
})

t.test('idle connections die', async (t) => {
  const router = newRouter()
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  const queries = () => Promise.all([1, 2, 3].map(() => db.selectFrom('items').selectAll().execute()))
  await queries()
  await terminate('idle')
  await queries()
  proxy.cut()
  await queries()
  await db.insertInto('items').values({ id: 1, name: 'x' }).execute()
  await prepared.cluster.restart()
  await db.insertInto('items').values({ id: 2, name: 'x' }).execute()
  await db.transaction().execute((trx) => trx.insertInto('items').values({ id: 3, name: 'x' }).execute())
  t.same(await rowsOf(tenantId), [1, 2, 3])
  await allIdle(t, router)
})

t.test('the server ends a session in the middle of a statement', async (t) => {
  const router = newRouter()
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  const reading = db.selectNoFrom(slowly(0.2).as('slept')).execute()
  await terminate('active')
  t.same(await reading, [{ slept: 0 }], 'a read is begun again')
  const writing = sql`insert into items (id, name) select 1 + length(pg_sleep(0.2)::text), 'x'`.execute(db)
  await terminate('active')
  await writing
  t.same(await rowsOf(tenantId), [1], 'and so is a write that was surely undone')
  await allIdle(t, router)
})

t.test('a connection breaks in the middle of a statement', async (t) => {
  const router = newRouter()
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  await db.selectFrom('items').select('id').where('name', '=', 'a').execute()
  proxy.cutAfter('marker-1')
  t.same(
    await db.selectFrom('items').select('id').where('name', '=', 'marker-1').execute(),
    [],
    'a read is begun again',
  )
  const insert = (id: number, name: string) => db.insertInto('items').values({ id, name }).execute()
  await insert(1, 'x')
  proxy.cutAfter('marker-2')
  await t.rejects(
    insert(2, 'marker-2'),
    { code: 'outcome_unknown', status: 500 },
    'a write may have happened',
  )
  await sleep(50)
  t.same(await rowsOf(tenantId), [1, 2], 'as this one has')
  proxy.cutBefore('marker-3')
  await t.rejects(insert(3, 'marker-3'), { code: 'outcome_unknown' }, 'or may not have')
  t.same(await rowsOf(tenantId), [1, 2])
  await insert(4, 'x')
  await allIdle(t, router)
})

t.test('a connection breaks at the commit', async (t) => {
  const router = newRouter()
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  const write = (id: number) =>
    db.transaction().execute((trx) => trx.insertInto('items').values({ id, name: 'x' }).execute())
  await write(1)
  const commit = await import('@freehold/postgres').then(({ statementName }) => statementName('commit'))
  proxy.cutAfter(commit)
  await t.rejects(write(2), { code: 'outcome_unknown' })
  await sleep(50)
  t.same(await rowsOf(tenantId), [1, 2], 'it did take effect')
  await write(3)
  proxy.cutBefore(commit)
  await t.rejects(write(4), { code: 'outcome_unknown' })
  t.same(await rowsOf(tenantId), [1, 2, 3], 'it did not')
  await db
    .transaction()
    .setAccessMode('read only')
    .execute((trx) => trx.selectFrom('items').selectAll().execute())
  proxy.cutAfter(commit)
  const reading = db
    .transaction()
    .setAccessMode('read only')
    .execute((trx) => trx.selectFrom('items').selectAll().execute())
  await t.rejects(reading, { code: 'database_unavailable' }, 'reads leave nothing in doubt')

  await write(5)
  const trx = await db.startTransaction().execute()
  await trx.insertInto('items').values({ id: 6, name: 'x' }).execute()
  proxy.cutAfter(commit)
  await t.rejects(trx.commit().execute(), { code: 'outcome_unknown' })
  await t.rejects(
    trx.insertInto('items').values({ id: 7, name: 'x' }).execute(),
    { code: 'transaction_lost' },
    'what comes after a failed commit does not run by itself',
  )
  await trx.rollback().execute()
  await sleep(50)
  t.same(await rowsOf(tenantId), [1, 2, 3, 5, 6])
  await allIdle(t, router)
})

t.test('a connection breaks inside a transaction', async (t) => {
  const router = newRouter()
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  for (const level of ['read committed', 'serializable'] as const) {
    const lost = db
      .transaction()
      .setIsolationLevel(level)
      .execute(async (trx) => {
        await trx.insertInto('items').values({ id: 1, name: 'x' }).execute()
        await terminate('idle in transaction')
        await trx.insertInto('items').values({ id: 2, name: 'x' }).execute()
      })
    await t.rejects(lost, { code: 'database_unavailable', retryAfterSeconds: 1 }, level)
    const swallowed = db
      .transaction()
      .setIsolationLevel(level)
      .execute(async (trx) => {
        await trx.insertInto('items').values({ id: 1, name: 'x' }).execute()
        proxy.cut()
        await trx
          .insertInto('items')
          .values({ id: 2, name: 'x' })
          .execute()
          .catch(() => undefined)
      })
    await t.rejects(swallowed, { code: 'database_unavailable' }, `${level}, swallowed`)
  }
  const streaming = async () => {
    for await (const _ of db.selectFrom('items').select(slowly(0).as('x')).stream()) proxy.cut()
  }
  await db
    .insertInto('items')
    .values([1, 2, 3].map((id) => ({ id, name: 'x' })))
    .execute()
  const cutStream = async () => {
    for await (const _ of db.selectFrom('items').select('id').stream(1)) proxy.cut()
  }
  await t.rejects(cutStream(), { code: 'database_unavailable' }, 'inside a stream')
  await t.rejects(streaming(), { code: 'database_unavailable' })
  const leaving = async () => {
    for await (const _ of db.selectFrom('items').select('id').stream(1)) {
      proxy.cut()
      await sleep(20)
      return
    }
  }
  await t.rejects(leaving(), { code: 'database_unavailable' }, 'on the way out of a stream')
  const ended = async () => {
    for await (const _ of db.selectFrom('items').select('id').stream(1)) await terminate('active')
  }
  await t.rejects(ended(), { code: 'database_unavailable' }, 'ended by the server inside a stream')
  t.same(await rowsOf(tenantId), [1, 2, 3])
  await allIdle(t, router)
})

t.test('the database is gone', async (t) => {
  const router = newRouter()
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  const nowhere = {
    ...pool,
    id: (await createItemsDatabase(prepared, 'gone')).id,
    app: { ...pool.app, port: 1 },
  }
  source.place(nowhere, tenantId)
  await t.rejects(db.selectFrom('items').selectAll().execute(), {
    code: 'database_unavailable',
    retryAfterSeconds: 1,
  })
  await t.rejects(
    db.transaction().execute(async () => t.fail('not called')),
    { code: 'database_unavailable' },
  )
  source.place(pool, tenantId, { epoch: epochSchema.parse(2) })
  await setResident(pool, tenantId, 'active', 2)
  t.same(await db.selectFrom('items').selectAll().execute(), [], 'until the tenant lives somewhere else')
  source.place({ ...nowhere, id: pool.id, app: { ...pool.app, database: 'missing' } }, tenantId)
  source.announce({ tenantId })
  await t.rejects(db.selectFrom('items').selectAll().execute(), { code: 'database_unavailable' })
  await allIdle(t, router)
})

t.test('connections run out', async (t) => {
  const router = newRouter({ maxConnectionsPerDatabase: 1, connectionWaitMs: 100 })
  const db = router.forTenant(await newTenant())
  await db.transaction().execute(async () => {
    await t.rejects(db.selectFrom('items').selectAll().execute(), {
      code: 'connection_budget_exhausted',
      retryAfterSeconds: 1,
    })
    t.match([...router.connections().values()], [{ size: 1, idle: 0, waiting: 0 }])
  })
  const patient = newRouter({ maxConnectionsPerDatabase: 1 }).forTenant(await newTenant())
  const queued = await Promise.all(
    Array.from({ length: 50 }, () => patient.selectFrom('items').select('id').execute()),
  )
  t.equal(queued.length, 50, 'those who can wait are served')
  await allIdle(t, router)
})

t.test(
  'a source that does not let itself be subscribed to does not keep the router from closing',
  async (t) => {
    const hanging = { lookup: async () => null, subscribe: () => new Promise<never>(() => undefined) }
    await createRouter({ source: hanging, entrySecret: testEntrySecret }).close()
    const failing = {
      lookup: async () => null,
      subscribe: () => Promise.reject(new Error('not now')),
    }
    const router = createRouter({ source: failing, entrySecret: testEntrySecret })
    await sleep(5)
    await router.close()
    t.pass('closed')
  },
)

t.test('closing lets work finish and takes no more', async (t) => {
  const router = newRouter()
  const db = router.forTenant(await newTenant())
  await db.selectFrom('items').selectAll().execute()
  const { promise, resolve } = Promise.withResolvers<void>()
  const working = db.transaction().execute(async (trx) => {
    await trx.insertInto('items').values({ id: 1, name: 'x' }).execute()
    resolve()
    await sleep(50)
    await trx.insertInto('items').values({ id: 2, name: 'x' }).execute()
  })
  await promise
  const closing = router.close()
  await t.rejects(db.selectFrom('items').selectAll().execute(), { code: 'database_unavailable' })
  await working
  await closing
  await router.close()
  const left = await withClient(direct.superuser, 'test', (client) =>
    client.query(`select from pg_stat_activity where application_name = 'freehold-router'`),
  )
  const others = ground.routers.filter((other) => other !== router)
  const open = others
    .flatMap((other) => [...other.connections().values()])
    .reduce((sum, c) => sum + c.size, 0)
  t.ok((left.rowCount ?? 0) <= open, 'no session of it is left')
})
