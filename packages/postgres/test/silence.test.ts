import { connectClient, type DatabaseAddress, watchSilence, withClient } from '@freehold/postgres'
import type pg from 'pg'
import t, { type Test } from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { startCuttableProxy } from '../../../test/kit/cuttable-proxy.ts'
import { asSuperuser } from '../../../test/kit/databases.ts'

/** A connection on which an answer is waited for, and nothing comes. */
const { cluster } = await startPreparedCluster('silence')
t.teardown(() => cluster.remove())
const direct = asSuperuser(cluster, 'postgres')
/** Longer than a silence that is looked into, and than looking into it takes on a busy machine. */
const SLEEP = 'select pg_sleep(25)'
const VANISHED = { name: 'ServerVanished', code: 'ETIMEDOUT' }

t.jobs = 4

t.test('a server that is busy is waited for', async (t) => {
  const { client, address } = await throughProxy(t)
  watchSilence(client, address)
  t.equal((await client.query(SLEEP)).rowCount, 1)
})

t.test('a session that the server does not know any more is over', async (t) => {
  const { client, address, vanish } = await throughProxy(t)
  watchSilence(client, address)
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  const answer = client.query('select pg_sleep(3600)')
  vanish()
  await withClient(direct, 'test', (other) => other.query('select pg_terminate_backend($1)', [rows[0]?.pid]))
  await t.rejects(answer, VANISHED)
})

t.test('so is one to a server that cannot be reached', async (t) => {
  const { client, address, vanish } = await throughProxy(t)
  watchSilence(client, { ...address, port: 1 })
  const answer = client.query('select pg_sleep(3600)')
  vanish()
  await t.rejects(answer, VANISHED)
})

t.test('a server that answers and does not let us ask is there', async (t) => {
  const { client, address } = await throughProxy(t)
  watchSilence(client, { ...address, database: 'nowhere' })
  t.equal((await client.query(SLEEP)).rowCount, 1)
})

interface Watched {
  readonly client: pg.Client
  readonly address: DatabaseAddress
  vanish(): void
}

async function throughProxy(t: Test): Promise<Watched> {
  const proxy = await startCuttableProxy(direct)
  const client = await connectClient(proxy.address, 'test')
  t.teardown(async () => {
    await client.end().catch(() => undefined)
    await proxy.close()
  })
  return { client, address: proxy.address, vanish: proxy.vanish }
}
