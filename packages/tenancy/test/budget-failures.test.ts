import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { TenantId } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { sql } from 'kysely'
import t from 'tap'
import { startCuttableProxy } from '../../../test/kit/cuttable-proxy.ts'
import { newTenantId, type TestDatabase } from '../../../test/kit/tenants.ts'
import { until } from '../../../test/kit/until.ts'
import {
  MAX_CONNECTIONS,
  occupy,
  prepareBudgetGround,
  read,
  settled,
  slowly,
  watchSessions,
} from './budget-ground.ts'

const ground = await prepareBudgetGround('budget-failures')
t.teardown(() => ground.remove())
const { source, databases, first, second, residents, newRouter, newTenant } = ground

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
  const watch = await watchSessions(first)
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
