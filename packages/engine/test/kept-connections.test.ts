import { randomUUID } from 'node:crypto'
import { operationIdSchema } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import type pg from 'pg'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { startCuttableProxy } from '../../../test/kit/cuttable-proxy.ts'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { until } from '../../../test/kit/until.ts'
import { KeptConnections } from '../src/kept-connections.ts'

const { cluster } = await startPreparedCluster('kept')
t.teardown(() => cluster.remove())
const direct = asSuperuser(cluster, 'postgres')
const proxy = await startCuttableProxy(direct)
t.teardown(() => proxy.close())
const address = { ...direct, ...proxy.address }

async function pid(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  return rows[0]?.pid ?? 0
}
async function open(): Promise<number> {
  return withClient(direct, 'test', async (client) => {
    const found = await client.query(
      "select from pg_stat_activity where application_name = 'freehold-plan' and backend_type = 'client backend'",
    )
    return found.rowCount ?? 0
  })
}

t.test('a connection is used again, by one at a time', async (t) => {
  const connections = new KeptConnections()
  t.teardown(() => connections.close())
  const first = await connections.use(address, pid)
  t.equal(await connections.use(address, pid), first)
  await connections.use(address, async (client) => {
    t.equal(await pid(client), first)
    t.not(await connections.use(address, pid), first, 'somebody uses it')
  })
  t.not(await connections.use({ ...address, database: 'template1' }, pid), first, 'another database')
  t.equal(await open(), 3)
  await connections.close()
  while ((await open()) > 0);
  t.not(await connections.use(address, pid), first, 'connected to anew')
})

t.test('one on which work fails is not used again', async (t) => {
  const connections = new KeptConnections()
  t.teardown(() => connections.close())
  let failed = 0
  const work = async (client: pg.Client) => {
    failed = await pid(client)
    await client.query('begin')
    throw new Error('in the middle')
  }
  await t.rejects(connections.use(address, work), { message: 'in the middle' })
  t.not(await connections.use(address, pid), failed)
})

t.test('one that has been cut, or is not answered, is replaced', async (t) => {
  const connections = new KeptConnections()
  t.teardown(() => connections.close())
  const first = await connections.use(address, pid)
  proxy.cut()
  const second = await connections.use(address, pid)
  t.not(second, first)
  proxy.vanish()
  t.not(await connections.use(address, pid), second)
})

t.test('a newer lease ends what older ones of the same operation have open, and nothing else', async (t) => {
  const id = operationIdSchema.parse(randomUUID())
  const other = operationIdSchema.parse(randomUUID())
  const of = (operation: typeof id, token: number) => {
    const connections = new KeptConnections({ id: operation, token })
    t.teardown(() => connections.close())
    return connections
  }
  const [first, second, third] = [of(id, 1), of(id, 2), of(id, 10)]
  const neighbour = of(other, 1)
  const planner = new KeptConnections()
  t.teardown(() => planner.close())
  const kept = await Promise.all([first, neighbour, planner].map((by) => by.use(direct, pid)))
  const [ofFirst, ...others] = kept
  // In the middle of a statement, and of a transaction that holds a lock.
  const statement = first.use({ ...direct, database: 'template1' }, (client) =>
    client.query('begin; select pg_advisory_xact_lock(1); select pg_sleep(3600)'),
  )
  const ended = t.rejects(statement, { code: '57P01' }, 'in whichever database of the server')
  await until(async () => (await sleeping()) === 1)
  const ofSecond = await second.use(direct, pid)
  await ended
  await until(async () => !(await lives(ofFirst)))
  const ofThird = await third.use(direct, pid)
  await until(async () => !(await lives(ofSecond)))
  const anew = await second.use({ ...direct, database: 'template1' }, pid)
  for (const process of [...others, ofThird, anew]) t.ok(await lives(process))
})

async function lives(process: number | undefined): Promise<boolean> {
  return withClient(direct, 'test', async (client) => {
    const found = await client.query('select from pg_stat_activity where pid = $1', [process])
    return found.rowCount === 1
  })
}

async function sleeping(): Promise<number> {
  return withClient(direct, 'test', async (client) => {
    const found = await client.query("select from pg_stat_activity where wait_event = 'PgSleep'")
    return found.rowCount ?? 0
  })
}
