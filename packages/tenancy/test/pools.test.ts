import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { createItemsDatabase, newTenantId, routeTo } from '../../../test/kit/tenants.ts'
import { DatabasePools } from '../src/connections/database-pools.ts'

const prepared = await startPreparedCluster('pools')
t.teardown(() => prepared.cluster.remove())
const one = await createItemsDatabase(prepared, 'one')
const two = await createItemsDatabase(prepared, 'two')
const tenantId = newTenantId()
const toOne = routeTo(one, tenantId)
const toTwo = routeTo(two, tenantId)
const limits = {
  maxConnections: 2,
  maxConnectionsPerDatabase: 2,
  maxConnectionsPerTenant: 2,
  connectionWaitMs: 200,
}

const sessions = () =>
  withClient(one.superuser, 'test', async (client) => {
    const found = await client.query(
      `select from pg_stat_activity where application_name = 'freehold-router'`,
    )
    return found.rowCount
  })

t.test('one pool a database, kept as long as it is used', async (t) => {
  const pools = new DatabasePools(limits)
  t.equal(pools.for(toOne), pools.for({ ...toOne, address: { ...toOne.address } }))
  t.not(pools.for(toOne), pools.for(toTwo))
  const first = await pools.for(toOne).acquire(tenantId, undefined)
  const second = await pools.for(toOne).acquire(tenantId, undefined)
  pools.for(toOne).release(first)
  t.match(pools.databases().get(one.id), { size: 2, idle: 1, waiting: 0 })
  pools.sweep(performance.now() - 10_000)
  t.match(pools.databases().get(one.id), { size: 2, idle: 1, waiting: 0 }, 'used just now')
  pools.sweep(performance.now() + 1)
  t.match(pools.databases().get(one.id), { size: 1, idle: 0, waiting: 0 }, 'what is lent stays')
  t.notOk(pools.databases().has(two.id), 'a pool without connections is forgotten')
  pools.for(toOne).release(second)
  pools.sweep(performance.now() + 1)
  t.equal(pools.databases().get(one.id)?.idle, 0)
  while (pools.totals().used > 0) await sleep(5)
  pools.sweep(performance.now() + 1)
  t.equal(pools.databases().size, 0)
  t.match(pools.totals(), { used: 0, counters: { connects: 2, closed: { unused: 2 } } }, 'what it did is not')
  await pools.close()
  t.equal(await sessions(), 0)
  t.throws(() => pools.for(toOne), { code: 'database_unavailable' })
})

t.test('a database with a new address gets a new pool, and the old one ends', async (t) => {
  const pools = new DatabasePools(limits)
  const before = pools.for(toOne)
  const lent = await before.acquire(tenantId, undefined)
  const moved = { ...toOne, address: toTwo.address }
  const after = pools.for(moved)
  t.not(after, before)
  const connection = await after.acquire(tenantId, undefined)
  const { rows } = await connection.client.query('select current_database() as name')
  t.same(rows, [{ name: 'two' }])
  after.release(connection)
  await t.rejects(before.acquire(tenantId, undefined), { name: 'ConnectFailedError' })
  before.release(lent)
  await pools.close()
  t.equal(await sessions(), 0)
})

t.test('a connection is not made for somebody who gets one that was lent for a moment', async (t) => {
  const pools = new DatabasePools(limits)
  t.teardown(() => pools.close())
  const pool = pools.for(toOne)
  const lent = await pool.acquire(tenantId, undefined)
  const waiting = [pool.acquire(tenantId, undefined), pool.acquire(tenantId, undefined)] as const
  t.equal(pool.size, 1)
  pool.release(lent)
  const next = await waiting[0]
  t.equal(next, lent)
  const other = await waiting[1]
  t.not(other, lent, 'whoever waits for longer has one made')
  for (const connection of [next, other]) pool.release(connection)
})

t.test('connections are not made for a queue that moves on faster than they could be', async (t) => {
  const many = { ...limits, maxConnections: 9, maxConnectionsPerDatabase: 9, maxConnectionsPerTenant: 9 }
  /** @returns how many connections there are when all have had one as often as they want. */
  const queueOf = async (count: number, times: number, work: () => Promise<unknown>) => {
    const pools = new DatabasePools({ ...many, connectionWaitMs: 60_000 })
    const pool = pools.for(toOne)
    pool.release(await pool.acquire(tenantId, undefined))
    const client = async () => {
      for (let turn = 0; turn < times; turn++) {
        const connection = await pool.acquire(tenantId, undefined)
        await work()
        pool.release(connection)
      }
    }
    await Promise.all(Array.from({ length: count }, client))
    const { size } = pool
    await pools.close()
    return size
  }
  // A process that does not get the processor for a moment cannot tell why nothing has come back.
  let size = 9
  for (let round = 0; size > 1 && round < 10; round++) size = await queueOf(50, 100, () => setImmediate())
  t.equal(size, 1)
  t.equal(await queueOf(50, 1, () => sleep(50)), 9, 'work that takes longer is waited for by fewer')
})

t.test('a connection comes back as it was given, or not at all', async (t) => {
  const pools = new DatabasePools(limits)
  t.teardown(() => pools.close())
  const pool = pools.for(toOne)
  const connection = await pool.acquire(tenantId, undefined)
  await connection.client.query('set statement_timeout = 12345')
  connection.tainted = true
  pool.release(connection)
  t.throws(() => pool.release(connection), /released twice/)
  t.equal(pool.take(tenantId, undefined), undefined, 'not before it is clean')
  const again = await pool.acquire(tenantId, undefined)
  const { rows } = await again.client.query('show statement_timeout')
  t.same(rows, [{ statement_timeout: '0' }])
  await again.client.query('begin')
  pool.release(again)
  t.ok(again.broken, 'not with a transaction open')
  await sleep(20)
  const [third, fourth] = await Promise.all([
    pool.acquire(tenantId, undefined),
    pool.acquire(tenantId, undefined),
  ])
  await t.rejects(pool.acquire(tenantId, undefined), { code: 'connection_budget_exhausted' })
  const waiting = pool.acquire(tenantId, undefined)
  pool.release(third)
  t.equal(await waiting, third, 'handed on')
  pool.release(third)
  pool.release(fourth)
  t.match(pools.databases().get(one.id), { size: 2, idle: 2, waiting: 0 })
})
