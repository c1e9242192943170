import { setTimeout as sleep } from 'node:timers/promises'
import { type Epoch, epochSchema, type TenantId } from '@freehold/contract'
import { connectClient, withClient } from '@freehold/postgres'
import {
  createRouter,
  currentTenant,
  type HeldEvent,
  type PlacementChangedEvent,
  type Router,
  type RouterOptions,
  routerEvents,
  runAsTenant,
} from '@freehold/tenancy'
import { CamelCasePlugin, type Generated, sql } from 'kysely'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import {
  ControlledSource,
  createItemsDatabase,
  homeAt,
  newTenantId,
  setResident,
  type TestDatabase,
  testEntryKey,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'

interface Database {
  items: { tenant_id: Generated<string>; id: number; name: string; quantity: Generated<number> }
}

const prepared = await startPreparedCluster('router')
const pool = await createItemsDatabase(prepared, 'pool')
const silo = await createItemsDatabase(prepared, 'silo')
const source = new ControlledSource()
const routers: Router<Database>[] = []
t.teardown(async () => {
  await Promise.all(routers.map((router) => router.close()))
  await prepared.cluster.remove()
})

function newRouter(options: Partial<RouterOptions> = {}): Router<Database> {
  const router = createRouter<Database>({
    source,
    entrySecret: testEntrySecret,
    maxConnectionsPerDatabase: 4,
    ...options,
  })
  routers.push(router)
  return router
}

const router = newRouter()

async function newTenant(database: TestDatabase = pool): Promise<TenantId> {
  const tenantId = newTenantId()
  await setResident(database, tenantId)
  source.place(database, tenantId)
  return tenantId
}

/** Moves a tenant's residency; nobody is told. */
async function move(tenantId: TenantId, from: TestDatabase, to: TestDatabase, epoch: number): Promise<void> {
  await setResident(from, tenantId, 'moved', epoch - 1)
  await setResident(to, tenantId, 'active', epoch)
  source.place(to, tenantId, { epoch: epochSchema.parse(epoch) })
}

/** Fails unless every connection is back and none is waited for. */
async function allIdle(test: Tap, of: Router<Database> = router): Promise<void> {
  // What a statement may have left is cleaned up after its result has been handed out.
  for (let tries = 0; tries < 50 && [...of.connections().values()].some((c) => c.idle < c.size); tries++) {
    await sleep(10)
  }
  for (const [id, counts] of of.connections()) test.match(counts, { idle: counts.size, waiting: 0 }, id)
}
type Tap = Pick<typeof t, 'match'>

const one = await newTenant()
const two = await newTenant()

t.test('each tenant sees its own rows, whatever is asked', async (t) => {
  const a = router.forTenant(one)
  const b = router.forTenant(two)
  await a
    .insertInto('items')
    .values([
      { id: 1, name: 'a1' },
      { id: 2, name: 'a2' },
    ])
    .execute()
  await b.insertInto('items').values({ id: 1, name: 'b1' }).execute()
  t.same(await a.selectFrom('items').select(['id', 'name']).orderBy('id').execute(), [
    { id: 1, name: 'a1' },
    { id: 2, name: 'a2' },
  ])
  t.same(await b.selectFrom('items').select('name').execute(), [{ name: 'b1' }])
  t.same(await b.selectFrom('items').select('name').where('tenant_id', '=', one).execute(), [])
  const updated = await b.updateTable('items').set({ quantity: 9 }).executeTakeFirstOrThrow()
  t.equal(updated.numUpdatedRows, 1n)
  const deleted = await b.deleteFrom('items').where('tenant_id', '=', one).executeTakeFirstOrThrow()
  t.equal(deleted.numDeletedRows, 0n)
  await t.rejects(a.insertInto('items').values({ tenant_id: two, id: 9, name: 'x' }).execute(), {
    code: '42501',
  })
  await t.rejects(a.updateTable('items').set({ tenant_id: two }).execute(), { code: '42501' })
  t.same((await sql<{ n: string }>`select name as n from items`.execute(b)).rows, [{ n: 'b1' }])
  await allIdle(t)
})

t.test('forTenant', async (t) => {
  t.equal(router.forTenant(one), router.forTenant(one), 'is cached')
  const upper = router.forTenant(one.toUpperCase())
  t.equal(
    (await upper.selectFrom('items').selectAll().execute()).length,
    2,
    'knows either spelling of a UUID',
  )
  for (const wrong of ['', ' ', '042', '-1', '{x}', one.replaceAll('-', ''), `${one}' or 1=1`, 'a\0b']) {
    t.throws(() => router.forTenant(wrong), { code: 'invalid_request' })
  }
  const unknown = router.forTenant(newTenantId())
  await t.rejects(unknown.selectFrom('items').selectAll().execute(), { code: 'tenant_not_found' })
  await t.rejects(
    unknown.transaction().execute(async () => t.fail('not called')),
    { code: 'tenant_not_found' },
  )
  const db = router.forTenant(two)
  await db.selectFrom('items').select('id').execute()
  await db.destroy()
  t.not(router.forTenant(two), db, 'a destroyed instance is not handed out again')
  t.equal((await router.forTenant(two).selectFrom('items').select('id').execute()).length, 1)
  t.match(await router.tenant(one), { id: one, tier: 'free', region: 'us-east', isolation: 'pool' })
  t.notMatch(JSON.stringify(await router.tenant(one)), /password/)
  await t.rejects(router.tenant(newTenantId()), { code: 'tenant_not_found' })
})

t.test('takes plugins of Kysely', async (t) => {
  const camel = newRouter({ kysely: { plugins: [new CamelCasePlugin()] } })
  const rows = await sql`select 1 as some_number`.execute(camel.forTenant(one))
  t.same(rows.rows, [{ someNumber: 1 }])
})

t.test('works without prepared statements', async (t) => {
  const bare = newRouter({ preparedStatements: false, maxConnectionsPerDatabase: 1 })
  const tenantId = await newTenant()
  const db = bare.forTenant(tenantId)
  await setResident(pool, tenantId, 'fenced')
  const held = [
    db.insertInto('items').values({ id: 1, name: 'x' }).execute(),
    db.transaction().execute((trx) => trx.insertInto('items').values({ id: 2, name: 'x' }).execute()),
  ]
  await sleep(30)
  await setResident(pool, tenantId)
  await Promise.all(held)
  t.equal((await db.selectFrom('items').selectAll().execute()).length, 2)
  await db.transaction().execute(async (trx) => {
    const { rows } = await sql`select count(*)::int as n from pg_prepared_statements`.execute(trx)
    t.same(rows, [{ n: 0 }])
  })
})

t.test('transactions commit and roll back', async (t) => {
  const db = router.forTenant(await newTenant())
  await db.transaction().execute(async (trx) => {
    await trx.insertInto('items').values({ id: 1, name: 'x' }).execute()
    t.equal((await trx.selectFrom('items').selectAll().execute()).length, 1)
    t.equal((await db.selectFrom('items').selectAll().execute()).length, 0, 'not yet seen outside')
  })
  t.equal((await db.selectFrom('items').selectAll().execute()).length, 1)
  const failure = new Error('of the product')
  const failing = db.transaction().execute(async (trx) => {
    await trx.deleteFrom('items').execute()
    throw failure
  })
  await t.rejects(failing, failure)
  const aborted = db.transaction().execute(async (trx) => {
    await trx
      .insertInto('items')
      .values({ id: 1, name: 'again' })
      .execute()
      .catch(() => undefined)
  })
  await t.rejects(aborted, { name: 'AbortedTransactionError' }, 'a swallowed error does not become a commit')
  t.equal((await db.selectFrom('items').selectAll().execute()).length, 1)
  await allIdle(t)
})

t.test('isolation levels and access modes', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  for (const level of ['read uncommitted', 'read committed', 'repeatable read', 'serializable'] as const) {
    await db
      .transaction()
      .setIsolationLevel(level)
      .execute(async (trx) => {
        const { rows } = await sql`select current_setting('transaction_isolation') as level,
          (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks
        `.execute(trx)
        t.same(rows, [{ level, locks: 1 }], level)
        await trx.insertInto('items').values({ id: 1, name: level }).execute()
      })
    await db.deleteFrom('items').execute()
    await allIdle(t)
    const locks = await withClient(pool.superuser, 'test', (client) =>
      client.query(`select from pg_locks where locktype = 'advisory'`),
    )
    t.equal(locks.rowCount, 0, `no lock is left by ${level}`)
  }
  const readOnly = db.transaction().setAccessMode('read only').setIsolationLevel('repeatable read')
  await readOnly.execute(async (trx) => {
    t.equal((await trx.selectFrom('items').selectAll().execute()).length, 0)
    const locks = sql`select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`
    t.same((await locks.execute(trx)).rows, [], 'readers take no lock')
  })
  const writing = readOnly.execute((trx) => trx.deleteFrom('items').execute())
  await t.rejects(writing, { code: '25006' })
  await allIdle(t)
})

t.test('one snapshot for the transaction is younger than the lock', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  const cutover = await connectClient(pool.owner, 'test')
  await cutover.query('select pg_advisory_lock(freehold.lock_key($1))', [tenantId])
  let begun = false
  const writing = db
    .transaction()
    .setIsolationLevel('serializable')
    .execute(async (trx) => {
      begun = true
      await trx.insertInto('items').values({ id: 1, name: 'x' }).execute()
    })
  await sleep(60)
  t.notOk(begun, 'held')
  // Between two probes.
  await allIdle(t)
  await cutover.end()
  await writing
  t.ok(begun)

  // Without the session's lock the entry's own guard refuses: its snapshot would be too old.
  await withClient(pool.app, 'test', async (client) => {
    const key = testEntryKey(pool, tenantId)
    await client.query('begin isolation level repeatable read')
    await t.rejects(client.query('select freehold.enter_writer($1, $2)', [tenantId, key]), {
      code: '25001',
    })
  })
})

t.test('controlled transactions and savepoints', async (t) => {
  const db = router.forTenant(await newTenant())
  const trx = await db.startTransaction().execute()
  await trx.insertInto('items').values({ id: 1, name: 'kept' }).execute()
  const inner = await trx.savepoint('here "we" are').execute()
  await inner.insertInto('items').values({ id: 2, name: 'dropped' }).execute()
  await t.rejects(inner.insertInto('items').values({ id: 2, name: 'twice' }).execute(), { code: '23505' })
  await inner.rollbackToSavepoint('here "we" are').execute()
  await inner.releaseSavepoint('here "we" are').execute()
  await sql`savepoint raw`.execute(trx)
  await trx.insertInto('items').values({ id: 3, name: 'dropped' }).execute()
  await sql`rollback to savepoint raw`.execute(trx)
  await trx.insertInto('items').values({ id: 4, name: 'kept' }).execute()
  await trx.commit().execute()
  t.same(await db.selectFrom('items').select('id').orderBy('id').execute(), [{ id: 1 }, { id: 4 }])
  const other = await db.startTransaction().setIsolationLevel('repeatable read').execute()
  await other.deleteFrom('items').execute()
  await other.rollback().execute()
  t.equal((await db.selectFrom('items').selectAll().execute()).length, 2)
  await allIdle(t)
})

t.test('a transaction that is ended behind the router is lost, and said to be', async (t) => {
  const db = router.forTenant(await newTenant())
  for (const end of ['commit', 'end', 'rollback', 'abort', 'commit and chain', 'rollback and chain']) {
    const size = router.connections().get(pool.id)?.size ?? 0
    let went = false
    const lost = db.transaction().execute(async (trx) => {
      await sql.raw(end).execute(trx)
      went = true
    })
    await t.rejects(lost, { code: 'transaction_lost' }, end)
    t.notOk(went, end)
    t.equal(
      router.connections().get(pool.id)?.size,
      Math.max(0, size - 1),
      'its connection is not used again',
    )
    const swallowed = db.transaction().execute(async (trx) => {
      await sql
        .raw(end)
        .execute(trx)
        .catch(() => undefined)
      await t.rejects(trx.insertInto('items').values({ id: 1, name: 'x' }).execute(), {
        code: 'transaction_lost',
      })
    })
    await t.rejects(swallowed, { code: 'transaction_lost' }, `${end}, swallowed`)
  }
  for (const text of ['begin', 'commit', 'rollback', 'start transaction read write']) {
    await t.rejects(sql.raw(text).execute(db), { code: 'transaction_lost' }, `${text} outside a transaction`)
  }
  t.same(await db.selectFrom('items').selectAll().execute(), [])
  await allIdle(t)
})

t.test('streams', async (t) => {
  const db = router.forTenant(await newTenant())
  const rows = Array.from({ length: 25 }, (_, index) => ({ id: index, name: `n${index}` }))
  await db.insertInto('items').values(rows).execute()
  const seen: number[] = []
  for await (const row of db.selectFrom('items').select('id').orderBy('id').stream(10)) seen.push(row.id)
  t.same(
    seen,
    rows.map((row) => row.id),
  )
  for await (const row of db.selectFrom('items').select('id').orderBy('id').stream(5)) {
    if (row.id === 7) break
  }
  await t.rejects(async () => {
    for await (const row of db.selectFrom('items').selectAll().stream()) throw new Error(`of row ${row.id}`)
  }, /of row/)
  await t.rejects(
    async () => {
      const failing = db.selectFrom('items').select((eb) => eb(eb.val(1), '/', eb.ref('quantity')).as('x'))
      for await (const _ of failing.stream()) t.fail('no row')
    },
    { code: '22012' },
  )
  await db.transaction().execute(async (trx) => {
    let count = 0
    for await (const _ of trx.selectFrom('items').selectAll().stream(10)) count++
    t.equal(count, 25, 'inside a transaction')
    await trx.deleteFrom('items').where('id', '=', 0).execute()
  })
  let returned = 0
  for await (const _ of db.deleteFrom('items').returning('id').stream(10)) returned++
  t.equal(returned, 24, 'a write')
  t.same(await db.selectFrom('items').selectAll().execute(), [], 'is committed')
  await allIdle(t)
})

t.test('db.connection() enters for every query', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  await db.connection().execute(async (bound) => {
    await bound.insertInto('items').values({ id: 1, name: 'x' }).execute()
    await move(tenantId, pool, silo, 2)
    t.same(await bound.selectFrom('items').selectAll().execute(), [], 'at its new home')
    await bound.transaction().execute((trx) => trx.insertInto('items').values({ id: 5, name: 'y' }).execute())
    t.same(await bound.selectFrom('items').select('id').execute(), [{ id: 5 }])
  })
  await allIdle(t)
})

t.test('a select that writes is run as a writer after all', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  await withClient(pool.owner, 'test', async (client) => {
    await client.query(`create function add_item() returns integer language sql volatile as
      $$ insert into items (id, name) values ((select count(*) from items), 'by a view') returning id $$`)
    await client.query('create view adding as select add_item() as id')
    await client.query('grant select on adding to freehold_app')
  })
  const adding = () => db.withTables<{ adding: { id: number } }>().selectFrom('adding').select('id')
  t.same(await adding().execute(), [{ id: 0 }])
  t.same(await adding().execute(), [{ id: 1 }])
  const streamed: number[] = []
  for await (const row of adding()
    .select((eb) => eb.lit(1).as('one'))
    .stream())
    streamed.push(row.id)
  t.same(streamed, [2])
  t.equal((await db.selectFrom('items').selectAll().execute()).length, 3, 'each of them once')
  await allIdle(t)
})

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
  await allIdle(t)
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
  await allIdle(t)
})

t.test('while a tenant is switched, readers go on with the home they know until another is', async (t) => {
  const tenantId = await newTenant()
  const router = newRouter()
  const read = () => router.forTenant(tenantId).selectFrom('items').select('id').execute()
  await read()
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
  const tenantId = await newTenant()
  const router = newRouter()
  const items = () => router.forTenant(tenantId).selectFrom('items').select('id').execute()
  const write = (id: number) =>
    router.forTenant(tenantId).insertInto('items').values({ id, name: 'x' }).execute()
  await write(1)
  const second = epochSchema.parse(2)
  const prepare = async (home: ReturnType<typeof homeAt>) => {
    source.coming.set(tenantId, home)
    source.announce({ tenantId, coming: true })
    await sleep(50)
  }
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

t.test('a tenant that does not come to where it was expected is asked for', async (t) => {
  const tenantId = await newTenant()
  const router = newRouter()
  const items = () => router.forTenant(tenantId).selectFrom('items').select('id').execute()
  await items()
  const [second, third] = [2, 3].map((epoch) => epochSchema.parse(epoch)) as [Epoch, Epoch]
  source.coming.set(tenantId, homeAt(pool, tenantId, { isolation: 'pool' }))
  source.announce({ tenantId, coming: true })
  await sleep(50)
  await setResident(silo, tenantId, 'active', 2)
  await setResident(pool, tenantId, 'moved')
  source.place(silo, tenantId, { epoch: second })
  t.equal((await items()).length, 0, 'it has gone elsewhere')

  source.coming.set(tenantId, homeAt(pool, tenantId, { isolation: 'pool', epoch: third }))
  source.announce({ tenantId, coming: true })
  await sleep(50)
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
  const tenantId = await newTenant()
  const router = newRouter()
  const items = () => router.forTenant(tenantId).selectFrom('items').select('id').execute()
  await items()
  source.coming.set(tenantId, homeAt(silo, tenantId))
  source.announce({ tenantId, coming: true })
  await sleep(50)
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
  const tenantId = await newTenant()
  const router = newRouter()
  const items = () => router.forTenant(tenantId).selectFrom('items').select('id').execute()
  await items()
  source.coming.set(tenantId, homeAt(silo, tenantId))
  source.announce({ tenantId, coming: true })
  await sleep(50)
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
    const tenantId = await newTenant()
    const router = newRouter()
    const write = (id: number) =>
      router.forTenant(tenantId).insertInto('items').values({ id, name: 'held' }).execute()
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
    t.equal((await router.forTenant(tenantId).selectFrom('items').select('id').execute()).length, 4)
    await allIdle(t, router)
  },
)

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

t.test('no session state reaches the next tenant', async (t) => {
  const narrow = newRouter({ maxConnectionsPerDatabase: 1 })
  const a = narrow.forTenant(one)
  const b = narrow.forTenant(two)
  const state = () =>
    sql<Record<string, unknown>>`select current_setting('a.secret', true) as setting,
      current_setting('search_path') as path, current_setting('statement_timeout') as timeout,
      (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()
        and objid <> (freehold.lock_key(${two}) & 4294967295)::oid) as locks,
      (select count(*)::int from pg_prepared_statements where from_sql) as prepared,
      (select count(*)::int from pg_cursors where is_holdable) as cursors,
      (select count(*)::int from pg_listening_channels()) as channels`.execute(b)
  const clean = (await state()).rows
  t.match(clean, [{ setting: null, locks: 0, prepared: 0, cursors: 0, channels: 0 }])
  for (const text of [
    `select set_config('a.secret', 'of a', false)`,
    `set a.secret = 'of a'`,
    `set search_path = pg_catalog`,
    `set statement_timeout = 1`,
    `select pg_advisory_lock(42)`,
    `prepare leak as select name from items`,
    `declare leak cursor with hold for select name from items`,
    `listen leak`,
    `do $$ begin perform set_config('a.secret', 'of a', false); end $$`,
  ]) {
    await sql.raw(text).execute(a)
    t.match((await state()).rows, [{ ...clean[0], setting: /^$|^null$/ }], text) ||
      t.match((await state()).rows, clean, text)
    await a.transaction().execute((trx) => sql.raw(text).execute(trx))
    t.match((await state()).rows[0]?.prepared, 0, `${text} in a transaction`)
  }
  await sql`deallocate all`.execute(a)
  t.equal((await b.selectFrom('items').selectAll().execute()).length, 1, 'DEALLOCATE harms nobody')
  await t.rejects(sql`execute leak`.execute(b), { code: '26000' })
  await t.rejects(sql`fetch all from leak`.execute(b), { code: '34000' })
  await allIdle(t, narrow)
})

t.test('runs jobs as a tenant', async (t) => {
  t.throws(() => currentTenant(), { code: 'tenant_context_missing' })
  const plain = createRouter({ source, entrySecret: testEntrySecret })
  const found = await runAsTenant(plain, one, async (db, tenant) => {
    await sleep(1)
    t.equal(currentTenant().tenant, tenant)
    t.equal(currentTenant().db, db)
    await t.rejects(
      runAsTenant(plain, two, async () => t.fail('not called')),
      { code: 'tenant_fixed' },
    )
    return currentTenant().tenant.id
  })
  t.equal(found, one)
  await t.rejects(
    runAsTenant(plain, newTenantId(), async () => t.fail('not called')),
    { code: 'tenant_not_found' },
  )
  t.throws(() => currentTenant(), { code: 'tenant_context_missing' })
  await plain.close()
})

t.test('options are checked', async (t) => {
  t.throws(() => createRouter({ source, entrySecret: 'short' }), { code: 'config_invalid' })
  t.throws(() => createRouter({ source, entrySecret: testEntrySecret, maxConnectionsPerDatabase: 0 }), {
    message: /maxConnectionsPerDatabase/,
  })
})
