import { setTimeout as sleep } from 'node:timers/promises'
import { connectClient, withClient } from '@freehold/postgres'
import { sql } from 'kysely'
import t from 'tap'
import { createItemsDatabase, testEntryKey } from '../../../test/kit/tenants.ts'
import { allIdle, prepareRouterGround } from './router-ground.ts'

const ground = await prepareRouterGround('transactions', { maxConnectionsPerDatabase: 4 })
t.teardown(() => ground.remove())
const pool = await createItemsDatabase(ground.prepared, 'pool')
const router = ground.newRouter()
const newTenant = () => ground.newTenant(pool)

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
  await allIdle(t, router)
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
    await allIdle(t, router)
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
  await allIdle(t, router)
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
  await allIdle(t, router)
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
  await allIdle(t, router)
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
  await allIdle(t, router)
})
