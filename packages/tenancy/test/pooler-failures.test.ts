import type { TenantId } from '@freehold/contract'
import { connectClient, withClient } from '@freehold/postgres'
import { createRouter } from '@freehold/tenancy'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { startCuttableProxy } from '../../../test/kit/cuttable-proxy.ts'
import { startPgBouncer, type TestPgBouncer } from '../../../test/kit/pgbouncer.ts'
import {
  ControlledSource,
  createItemsDatabase,
  newTenantId,
  setResident,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'
import { ids, waitsForLock } from './pooler-ground.ts'

const prepared = await startPreparedCluster('pooler-failures')
const database = await createItemsDatabase(prepared, 'pool')
const source = new ControlledSource()
const router = createRouter({ source, entrySecret: testEntrySecret, pooler: 'transaction' })
t.teardown(async () => {
  await router.close()
  await prepared.cluster.remove()
})

async function newTenant(through: TestPgBouncer): Promise<TenantId> {
  const tenantId = newTenantId()
  await setResident(database, tenantId)
  source.place(database, tenantId, { address: through.through(database.app) })
  return tenantId
}

t.test('the pooler dies and comes back', async (t) => {
  const wide = await startPgBouncer(database.app, { poolSize: 4 })
  t.teardown(() => wide.remove())
  const db = router.forTenant(await newTenant(wide))
  await db.insertInto('items').values({ id: 1, name: 'x' }).execute()
  await wide.kill()
  await t.rejects(ids(db), { code: 'database_unavailable' })
  await wide.start()
  t.same(await ids(db), [1])
  const lost = db.transaction().execute(async (trx) => {
    await trx.insertInto('items').values({ id: 2, name: 'x' }).execute()
    await wide.kill()
    await wide.start()
    await trx.insertInto('items').values({ id: 3, name: 'x' }).execute()
  })
  await t.rejects(lost, { code: 'database_unavailable' })
  const blocker = await connectClient(database.owner, 'test')
  t.teardown(() => blocker.end())
  await blocker.query('begin; lock table items in exclusive mode')
  const writing = t.rejects(db.insertInto('items').values({ id: 4, name: 'x' }).execute(), {
    code: 'outcome_unknown',
  })
  await waitsForLock(blocker)
  await wide.kill()
  await writing
  await wide.start()
  await blocker.query('commit')
  t.same(
    (await ids(db)).filter((id) => id !== 4),
    [1],
  )
})

t.test('a server connection breaks behind the pooler', async (t) => {
  const proxy = await startCuttableProxy(database.app)
  const pooler = await startPgBouncer(proxy.address, { poolSize: 2 })
  t.teardown(async () => {
    await pooler.remove()
    await proxy.close()
  })
  const tenantId = await newTenant(pooler)
  const db = router.forTenant(tenantId)
  await db.insertInto('items').values({ id: 1, name: 'x' }).execute()
  proxy.cut()
  await db.insertInto('items').values({ id: 2, name: 'x' }).execute()
  t.same(await ids(db), [1, 2], 'an idle one is not missed')

  // The server has done it, and the pooler says so with the farewell of a server that has not.
  proxy.cutAfter('marker-3')
  await t.rejects(db.insertInto('items').values({ id: 3, name: 'marker-3' }).execute(), {
    code: 'outcome_unknown',
  })
  t.same(await ids(db), [1, 2, 3], 'it was done, and not tried again')
  proxy.cutAfter('marker-read')
  const reading = db.selectFrom('items').select('id').where('name', '=', 'marker-read').execute()
  t.same(await reading, [], 'a read is begun again')

  const ended = db.transaction().execute(async (trx) => {
    await trx.insertInto('items').values({ id: 4, name: 'x' }).execute()
    proxy.cut()
    await trx.insertInto('items').values({ id: 5, name: 'x' }).execute()
  })
  await t.rejects(ended, { code: 'database_unavailable' })

  const blocker = await connectClient(database.owner, 'test')
  t.teardown(() => blocker.end())
  await blocker.query('begin; lock table items in exclusive mode')
  const writing = db.insertInto('items').values({ id: 6, name: 'x' }).execute()
  await waitsForLock(blocker)
  await withClient(database.superuser, 'test', (client) =>
    client.query(`select pg_terminate_backend(pid, 10000) from pg_locks where not granted`),
  )
  await blocker.query('commit')
  await writing
  t.same(await ids(db), [1, 2, 3, 6], 'what the server itself has undone is begun again')
})

t.test('a pooler without a free server connection', async (t) => {
  const impatient = await startPgBouncer(database.app, { poolSize: 1, settings: { query_wait_timeout: 1 } })
  t.teardown(() => impatient.remove())
  const db = router.forTenant(await newTenant(impatient))
  await db.transaction().execute(async (trx) => {
    await trx.insertInto('items').values({ id: 1, name: 'x' }).execute()
    await t.rejects(db.insertInto('items').values({ id: 2, name: 'x' }).execute(), {
      code: 'database_unavailable',
    })
  })
  t.same(await ids(db), [1])
})
