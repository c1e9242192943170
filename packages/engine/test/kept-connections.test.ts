import { withClient } from '@freehold/postgres'
import type pg from 'pg'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { startCuttableProxy } from '../../../test/kit/cuttable-proxy.ts'
import { asSuperuser } from '../../../test/kit/databases.ts'
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
      "select from pg_stat_activity where application_name = 'freehold-move' and backend_type = 'client backend'",
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
