import type { TenantId } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import type { FreeholdDatabase } from '@freehold/tenancy'
import type { Kysely } from 'kysely'
import t from 'tap'
import { newTenantId, routeTo, setResident, type TestDatabase } from '../../../test/kit/tenants.ts'
import { until } from '../../../test/kit/until.ts'
import { DatabasePools } from '../src/connections/database-pools.ts'
import {
  DATABASES,
  MAX_CONNECTIONS,
  occupy,
  prepareBudgetGround,
  read,
  settled,
  slowly,
  watchSessions,
} from './budget-ground.ts'

const ground = await prepareBudgetGround('budget')
t.teardown(() => ground.remove())
const { source, databases, first, second, residents, newRouter, newTenant } = ground

/** Lets the server itself refuse one session more; -1: any number. */
const limitSessions = (limit: number) =>
  withClient({ ...first.superuser, database: 'postgres' }, 'test', (client) =>
    client.query(`alter role freehold_app connection limit ${limit}`),
  )

t.test('many databases, few connections: the maximum holds, all are served', async (t) => {
  const router = newRouter()
  await limitSessions(MAX_CONNECTIONS)
  t.teardown(() => limitSessions(-1))
  const watch = await watchSessions(first)
  let finished = 0
  let mostUsed = 0
  const work = Array.from({ length: 60 }, (_, n) => n).flatMap((n) =>
    residents.map(async (tenantId) => {
      const db = router.forTenant(tenantId)
      if (n % 6 === 0) {
        await db.transaction().execute(async (trx) => {
          await trx.insertInto('items').values({ id: n, name: 'x' }).execute()
          await read(trx)
        })
      } else if (n % 6 === 1) await slowly(db, 5)
      else await read(db)
      const { used, connecting, idle, lent, resetting, ending } = router.metrics().connections
      mostUsed = Math.max(mostUsed, used)
      if (used !== connecting + idle + lent + resetting + ending) t.fail('a connection is in no state')
      finished++
    }),
  )
  await Promise.all(work)
  await settled(router)
  const most = await watch.stop()
  t.equal(finished, DATABASES * 60, 'all are served')
  t.equal(mostUsed, MAX_CONNECTIONS, 'the budget is used up')
  t.ok(most > 0 && most <= MAX_CONNECTIONS, `the server saw ${most} sessions at most`)
  const { counters } = router.metrics().connections
  t.ok(counters.closed.evicted > 0, `${counters.closed.evicted} connections were given to other databases`)
  t.ok(counters.connects < finished / 2, `but not for every statement: ${counters.connects} connects`)
  t.equal(counters.connectFailures, 0, 'the server has refused none')
  t.same(counters.timeouts, { process: 0, database: 0, tenant: 0 })
  await router.close()
})

t.test('the watch sees what the budget prevents', async (t) => {
  const router = newRouter({ maxConnections: 20 })
  const watch = await watchSessions(first)
  await Promise.all(
    residents.flatMap((tenantId) => [1, 2].map(() => slowly(router.forTenant(tenantId), 300))),
  )
  t.ok((await watch.stop()) > MAX_CONNECTIONS)
  await router.close()
})

t.test('a database that is always busy does not keep another waiting for ever', async (t) => {
  const router = newRouter({ maxConnections: 1 })
  const busy = router.forTenant(residents[0] as TenantId)
  let stopped = false
  let reads = 0
  const crowd = Array.from({ length: 20 }, async () => {
    while (!stopped) {
      await read(busy)
      reads++
    }
  })
  await until(() => reads > 200, 'the first database is busy')
  for (const tenantId of residents.slice(1)) await read(router.forTenant(tenantId))
  const before = reads
  await until(() => reads > before + 200, 'the first database goes on')
  stopped = true
  await Promise.all(crowd)
  t.ok(router.metrics().connections.counters.closed.evicted >= DATABASES - 1, 'by taking turns')
  await router.close()
})

t.test('where all databases are always busy, each gets its share', async (t) => {
  const router = newRouter({ maxConnections: 3 })
  const reads = residents.map(() => 0)
  let stopped = false
  const crowd = residents.flatMap((tenantId, database) =>
    Array.from({ length: 5 }, async () => {
      while (!stopped) {
        await read(router.forTenant(tenantId))
        reads[database] = (reads[database] ?? 0) + 1
      }
    }),
  )
  await until(() => reads.every((count) => count > 150), 'all have been served')
  stopped = true
  await Promise.all(crowd)
  t.ok(Math.min(...reads) > Math.max(...reads) / 10, `${reads} reads`)
  await router.close()
})

t.test('the connection that has been idle for longest goes, and never one in use', async (t) => {
  const router = newRouter({ maxConnections: 3 })
  const [a, b, c, d] = residents.map((tenantId) => router.forTenant(tenantId)) as [
    Kysely<FreeholdDatabase>,
    Kysely<FreeholdDatabase>,
    Kysely<FreeholdDatabase>,
    Kysely<FreeholdDatabase>,
  ]
  const idleIn = (database: number) =>
    router.connections().get((databases[database] as TestDatabase).id)?.idle
  await read(a)
  await read(b)
  await read(a)
  const open = await occupy(c)
  await read(d)
  t.same([idleIn(0), idleIn(1)], [1, 0], 'b has been idle for longest')
  await read(b)
  t.same([idleIn(0), idleIn(3)], [0, 1], 'then a')
  await read(a)
  await read(d)
  await read(b)
  await open.end()
  t.equal(idleIn(2), 1, 'the transaction was left alone')
  await router.close()
})

t.test('a running statement is not cut for another database', async (t) => {
  const router = newRouter({ maxConnections: 1 })
  const [a, b] = residents.map((tenantId) => router.forTenant(tenantId)) as [
    Kysely<FreeholdDatabase>,
    Kysely<FreeholdDatabase>,
  ]
  const long = slowly(a, 400)
  const order: string[] = []
  const done = Promise.all([
    long.then((rows) => order.push(`long ${rows[0]?.slept}`)),
    until(() => router.metrics().connections.lent === 1, 'it runs').then(async () => {
      await read(b)
      order.push('other')
    }),
  ])
  await done
  t.same(order, ['long 0', 'other'])
  await router.close()
})

t.test('the error says which limit was in the way', async (t) => {
  const router = newRouter({
    maxConnections: 3,
    maxConnectionsPerDatabase: 2,
    maxConnectionsPerTenant: 1,
    connectionWaitMs: 1_000,
  })
  const [one, two] = residents as [TenantId, TenantId]
  const neighbour = await newTenant(first)
  const third = await newTenant(first)
  const refused = (limit: string, maximum: number) => ({
    code: 'connection_budget_exhausted',
    status: 503,
    retryAfterSeconds: 1,
    details: { limit, maximum, waitedMs: 1_000 },
  })
  const held = await occupy(router.forTenant(one))
  const heldToo = await occupy(router.forTenant(neighbour))
  const elsewhere = await occupy(router.forTenant(two))
  await Promise.all([
    t.rejects(read(router.forTenant(one)), refused('tenant', 1)),
    t.rejects(read(router.forTenant(third)), refused('database', 2)),
    t.rejects(read(router.forTenant(residents[2] as TenantId)), refused('process', 3)),
  ])
  t.same(router.metrics().connections.counters.timeouts, { process: 1, database: 1, tenant: 1 })
  for (const open of [held, heldToo, elsewhere]) await open.end()
  await read(router.forTenant(residents[2] as TenantId))
  t.pass('afterwards there is room again')
  await router.close()
})

/** How long a neighbour's reads take while a tenant floods the database they share, in ms. */
async function besideFlood(
  cap: { maxConnectionsPerTenant?: number } = {},
): Promise<{ neighbour: number; flood: number }> {
  const router = newRouter({ maxConnectionsPerDatabase: 4, ...cap })
  const [loud, quiet] = [await newTenant(second), await newTenant(second)]
  const start = performance.now()
  const flood = Promise.all(Array.from({ length: 200 }, () => slowly(router.forTenant(loud), 20)))
  await until(() => (router.connections().get(second.id)?.waiting ?? 0) > 100, 'the flood is there')
  const begun = performance.now()
  for (let n = 0; n < 5; n++) await read(router.forTenant(quiet))
  const neighbour = performance.now() - begun
  await flood
  const took = performance.now() - start
  await router.close()
  return { neighbour, flood: took }
}

t.test('one tenant with 200 slow statements does not delay its neighbour', async (t) => {
  const guarded = await besideFlood()
  t.ok(guarded.neighbour < guarded.flood / 3, `5 reads took ${guarded.neighbour} ms of ${guarded.flood} ms`)
  const unguarded = await besideFlood({ maxConnectionsPerTenant: 4 })
  t.ok(
    unguarded.neighbour > unguarded.flood / 2,
    `without the guard it does: ${unguarded.neighbour} ms of ${unguarded.flood} ms`,
  )
})

t.test('whoever has a database alone may have all of its connections', async (t) => {
  const router = newRouter({ maxConnectionsPerDatabase: 4 })
  const tenantId = newTenantId()
  await setResident(first, tenantId)
  source.place({ ...first, id: second.id }, tenantId, { isolation: 'silo' })
  source.place(first, tenantId, { isolation: 'silo' })
  const open = await Promise.all([1, 2, 3, 4].map(() => occupy(router.forTenant(tenantId))))
  t.equal(router.metrics().connections.lent, 4)
  await Promise.all(open.map((one) => one.end()))
  await router.close()
})

t.test('connections are lent to those whose plans they have', async (t) => {
  const limits = {
    maxConnections: 4,
    maxConnectionsPerDatabase: 4,
    maxConnectionsPerTenant: 4,
    connectionWaitMs: 1_000,
  }
  const pools = new DatabasePools(limits)
  t.teardown(() => pools.close())
  const tenantId = newTenantId()
  const pool = pools.for(routeTo(first, tenantId))
  const opened = await Promise.all(['a', 'b', undefined, 'c'].map((schema) => pool.acquire(tenantId, schema)))
  const [a, b, shared, c] = opened
  for (const connection of opened) pool.release(connection)
  t.equal(pool.take(tenantId, 'a'), a, 'its own')
  t.equal(pool.take(tenantId, undefined), shared, 'the shared tables have theirs')
  t.equal(pool.take(tenantId, 'a'), c, 'without plans of its own, the last one used')
  t.equal(pool.take(tenantId, 'b'), b)
  t.equal(pool.take(tenantId, 'b'), undefined)
  for (const connection of opened) pool.release(connection)
  const reset = pool.take(tenantId, 'b')
  if (!reset) throw new Error('none is idle')
  reset.tainted = true
  pool.release(reset)
  await until(() => pool.states.idle === 4, 'it is clean')
  const last = pool.take(tenantId, undefined)
  if (!last) throw new Error('none is idle')
  pool.release(last)
  t.equal(pool.take(tenantId, 'd'), reset, 'one without plans goes before the last one used')
  pool.release(reset)
})
