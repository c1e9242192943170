import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TenantId } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { createRouter, type Router, type RouterOptions } from '@freehold/tenancy'
import { type Generated, type Kysely, sql } from 'kysely'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { startCuttableProxy } from '../../../test/kit/cuttable-proxy.ts'
import {
  ControlledSource,
  createItemsDatabase,
  homeAt,
  newTenantId,
  routeTo,
  setResident,
  type TestDatabase,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'
import { DatabasePools } from '../src/connections/database-pools.ts'

interface Database {
  items: { tenant_id: Generated<string>; id: number; name: string; quantity: Generated<number> }
}

const DATABASES = 7
const MAX_CONNECTIONS = 4
const PATIENCE_MS = 60_000

const prepared = await startPreparedCluster('budget')
const databases: TestDatabase[] = []
for (let n = 0; n < DATABASES; n++) databases.push(await createItemsDatabase(prepared, `data_${n}`))
const [first, second] = databases as [TestDatabase, TestDatabase]
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
    maxConnections: MAX_CONNECTIONS,
    connectionWaitMs: PATIENCE_MS,
    ...options,
  })
  routers.push(router)
  return router
}

async function newTenant(database: TestDatabase): Promise<TenantId> {
  const tenantId = newTenantId()
  await setResident(database, tenantId)
  source.place(database, tenantId)
  return tenantId
}

/** One tenant in every database. */
const residents = await Promise.all(databases.map((database) => newTenant(database)))

const read = (db: Kysely<Database>) => db.selectFrom('items').select('id').execute()
const slowly = (db: Kysely<Database>, ms: number) =>
  db.selectNoFrom(sql<number>`length(pg_sleep(${sql.lit(ms / 1_000)})::text)`.as('slept')).execute()

/** Asks the server over and over how many sessions there are beside the asker's, until told to stop. */
async function watchSessions(): Promise<{ stop(): Promise<number> }> {
  let most = 0
  let watching = true
  const { promise: begun, resolve } = Promise.withResolvers<void>()
  const watched = withClient({ ...first.superuser, database: 'postgres' }, 'test-watch', async (client) => {
    while (watching) {
      const { rows } = await client.query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity
         where backend_type = 'client backend' and pid <> pg_backend_pid()`,
      )
      most = Math.max(most, rows[0]?.n ?? 0)
      resolve()
      await sleep(1)
    }
  })
  await begun
  return {
    async stop() {
      watching = false
      await watched
      return most
    },
  }
}

/** Lets the server itself refuse one session more; -1: any number. */
const limitSessions = (limit: number) =>
  withClient({ ...first.superuser, database: 'postgres' }, 'test', (client) =>
    client.query(`alter role freehold_app connection limit ${limit}`),
  )

async function until(condition: () => boolean, what: string): Promise<void> {
  const begun = performance.now()
  while (!condition()) {
    if (performance.now() - begun > PATIENCE_MS) throw new Error(`not within a minute: ${what}`)
    await sleep(2)
  }
}

const settled = (router: Router<Database>) =>
  until(() => {
    const { used, idle, waiting } = router.metrics().connections
    return waiting === 0 && used === idle
  }, 'every connection is back')

/** A transaction that stays open until it is told to end. */
async function occupy(db: Kysely<Database>): Promise<{ end(): Promise<void> }> {
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>()
  const { promise: leaving, resolve: leave } = Promise.withResolvers<void>()
  const working = db.transaction().execute(async (trx) => {
    await read(trx)
    enter()
    await leaving
    await read(trx)
  })
  await Promise.race([entered, working])
  return {
    async end() {
      leave()
      await working
    },
  }
}

t.test('many databases, few connections: the maximum holds, all are served', async (t) => {
  const router = newRouter()
  await limitSessions(MAX_CONNECTIONS)
  t.teardown(() => limitSessions(-1))
  const watch = await watchSessions()
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
  const watch = await watchSessions()
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

/** Says that a tenant is about to move to another database, and returns when a router has had time to hear of it. */
async function announceMove(tenantId: TenantId, to: TestDatabase): Promise<void> {
  source.coming.set(tenantId, homeAt(to, tenantId))
  source.announce({ tenantId, coming: true })
  await sleep(100)
}

t.test('a router connects to where a tenant is about to live, in places that nobody wants', async (t) => {
  const [home, target] = [databases[0] as TestDatabase, databases[1] as TestDatabase]
  const tenantId = await newTenant(home)
  const router = newRouter()
  const connectionsTo = (database: TestDatabase) => router.connections().get(database.id)
  await announceMove(tenantId, target)
  t.equal(connectionsTo(target), undefined, 'none for a tenant that it does not know')

  const work = await occupy(router.forTenant(tenantId))
  source.announce({ tenantId, coming: true })
  await until(() => connectionsTo(target)?.idle === MAX_CONNECTIONS - 1, 'what is free is used')
  await announceMove(tenantId, target)
  t.match(router.metrics().connections, {
    used: MAX_CONNECTIONS,
    lent: 1,
    counters: { connects: MAX_CONNECTIONS },
  })

  source.failure = new Error('the catalog is away')
  await announceMove(tenantId, target)
  source.failure = undefined
  t.match(
    router.metrics().connections,
    { used: MAX_CONNECTIONS },
    'announced twice, or without a catalog: no more',
  )

  const another = await newTenant(databases[2] as TestDatabase)
  await read(router.forTenant(another))
  t.equal(connectionsTo(target)?.idle, MAX_CONNECTIONS - 2, 'whoever has work gets the place of one')
  await work.end()
})

t.test('no connection is made beforehand in the place of another', async (t) => {
  const [home, target] = [databases[0] as TestDatabase, databases[1] as TestDatabase]
  const tenantId = await newTenant(home)
  const router = newRouter()
  const db = router.forTenant(tenantId)
  const working = await Promise.all(Array.from({ length: MAX_CONNECTIONS - 1 }, () => occupy(db)))
  await read(router.forTenant(residents[3] as TenantId))
  t.match(router.metrics().connections, { used: MAX_CONNECTIONS, idle: 1 })
  await announceMove(tenantId, target)
  t.equal(router.connections().get(target.id)?.size ?? 0, 0, 'not even of one that is idle')
  t.equal(router.metrics().connections.counters.closed.evicted, 0)
  await Promise.all(working.map((work) => work.end()))
})

t.test('a tenant that never comes, and a database that does not answer, do no harm', async (t) => {
  const home = databases[0] as TestDatabase
  const tenantId = await newTenant(home)
  const router = newRouter()
  await read(router.forTenant(tenantId))
  const coming = homeAt(second, tenantId)
  source.coming.set(tenantId, { ...coming, address: { ...coming.address, database: 'not_there' } })
  source.announce({ tenantId, coming: true })
  await until(() => router.metrics().connections.counters.connectFailures > 0, 'it is tried')
  await read(router.forTenant(tenantId))
  await until(() => router.metrics().connections.used === 1, 'and nothing is left of it')
  t.match(router.metrics().connections, { used: 1, idle: 1, waiting: 0 })
})

t.test('the connection that has been idle for longest goes, and never one in use', async (t) => {
  const router = newRouter({ maxConnections: 3 })
  const [a, b, c, d] = residents.map((tenantId) => router.forTenant(tenantId)) as [
    Kysely<Database>,
    Kysely<Database>,
    Kysely<Database>,
    Kysely<Database>,
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
    Kysely<Database>,
    Kysely<Database>,
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

t.test('connections that break under load are not counted for ever', async (t) => {
  const proxies = await Promise.all(databases.slice(0, 5).map((database) => startCuttableProxy(database.app)))
  t.teardown(() => Promise.all(proxies.map((proxy) => proxy.close())))
  const tenants = await Promise.all(
    proxies.map(async (proxy, n) => {
      const database = databases[n] as TestDatabase
      const tenantId = await newTenant(database)
      source.place({ ...database, app: proxy.address }, tenantId)
      return tenantId
    }),
  )
  const router = newRouter()
  let stopped = false
  let failures = 0
  let successes = 0
  const crowd = tenants.flatMap((tenantId) =>
    Array.from({ length: 8 }, async (_, n) => {
      const db = router.forTenant(tenantId)
      while (!stopped) {
        const work = n % 2 ? read(db) : sql`select set_config('a.b', 'c', false)`.execute(db)
        await work.then(
          () => successes++,
          () => failures++,
        )
        if (router.metrics().connections.used > MAX_CONNECTIONS) t.fail('more than the maximum')
      }
    }),
  )
  for (let round = 0; round < 20; round++) {
    const before = successes + failures
    await until(() => successes + failures > before + 20, 'work goes on')
    for (const proxy of proxies) proxy.cut()
    if (round % 5 === 4) {
      await withClient(first.superuser, 'test', (client) =>
        client.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'freehold-router'`,
        ),
      )
    }
  }
  stopped = true
  await Promise.all(crowd)
  const { broken } = router.metrics().connections.counters.closed
  t.ok(successes > 0 && broken > 10, `${successes} done, ${failures} failed, ${broken} connections broke`)
  await settled(router)
  for (const tenantId of tenants) await read(router.forTenant(tenantId))
  const open = await Promise.all(tenants.slice(0, MAX_CONNECTIONS).map((id) => occupy(router.forTenant(id))))
  t.match(
    router.metrics().connections,
    { used: MAX_CONNECTIONS, lent: MAX_CONNECTIONS },
    'all of it can be used',
  )
  await Promise.all(open.map((one) => one.end()))
  await router.close()
  t.match(router.metrics().connections, { used: 0, idle: 0, lent: 0, ending: 0 })
})

t.test('a database that does not answer leaves room for the others', async (t) => {
  const gone = { ...second, id: first.id, app: { ...second.app, port: 1 } }
  const router = newRouter({ maxConnections: 2 })
  const [dead, alive] = [newTenantId(), residents[1] as TenantId]
  source.place(gone, dead)
  const failing = Promise.allSettled(Array.from({ length: 30 }, () => read(router.forTenant(dead))))
  await Promise.all(Array.from({ length: 30 }, () => read(router.forTenant(alive))))
  const outcomes = await failing
  t.match(
    outcomes,
    outcomes.map(() => ({ status: 'rejected', reason: { code: 'database_unavailable' } })),
  )
  await settled(router)
  t.ok(router.metrics().connections.counters.connectFailures > 0)
  await router.close()
})

t.test('a server that accepts and says nothing does not use up the budget', async (t) => {
  const sockets = new Set<Socket>()
  const silent = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const router = newRouter()
  const [dead, alive] = [newTenantId(), residents[1] as TenantId]
  source.place({ ...first, app: { ...first.app, port } }, dead)
  const failing = Promise.allSettled(Array.from({ length: 30 }, () => read(router.forTenant(dead))))
  await until(() => sockets.size > 0, 'somebody tries')
  await Promise.all(Array.from({ length: 100 }, () => read(router.forTenant(alive))))
  t.match(router.connections().get(first.id), { connecting: 2, waiting: 30 }, 'while the others are served')
  const cutting = setInterval(() => {
    for (const socket of sockets) socket.destroy()
  }, 5)
  const outcomes = await failing
  clearInterval(cutting)
  t.match(
    outcomes,
    outcomes.map(() => ({ status: 'rejected', reason: { code: 'database_unavailable' } })),
  )
  await router.close()
  silent.close()
  await once(silent, 'close')
})

t.test('closing in the middle of it all', async (t) => {
  const router = newRouter()
  const watch = await watchSessions()
  let done = 0
  const work = Promise.allSettled(
    residents.flatMap((tenantId) =>
      Array.from({ length: 30 }, async () => {
        await slowly(router.forTenant(tenantId), 3)
        done++
      }),
    ),
  )
  await until(() => done > 20, 'it is under way')
  await router.close()
  for (const outcome of await work) {
    if (outcome.status === 'rejected') t.match(outcome.reason, { code: 'database_unavailable' })
  }
  t.match(router.metrics().connections, { used: 0, waiting: 0 })
  t.ok((await watch.stop()) <= MAX_CONNECTIONS)
  const left = await withClient(first.superuser, 'test', (client) =>
    client.query(`select from pg_stat_activity where application_name = 'freehold-router'`),
  )
  t.equal(left.rowCount, 0)
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
