import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectClient, deriveEntryKey, entryDigest, withClient } from '@freehold/postgres'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { asSuperuser, createDataDatabase } from '../../../test/kit/databases.ts'
import { pairTables, readTables } from '../src/database/tables.ts'
import { claimTarget } from '../src/database/target-claim.ts'
import { createPublication } from '../src/resources/publication.ts'
import { Applier } from '../src/stream/applier.ts'
import { connectReplication, createSlot } from '../src/stream/replication-client.ts'

/** One cluster, two databases: changes of `source` are applied to `target`. */
const on = await startPreparedCluster('applier')
t.teardown(() => on.cluster.remove())
await createDataDatabase(on.cluster, on.passwords, 'source')
await createDataDatabase(on.cluster, on.passwords, 'target')

const tenantId = randomUUID()
const entryKey = deriveEntryKey('x'.repeat(32), { tenantId, dataDatabaseId: randomUUID(), epoch: 1 })
const [source, target] = [on.as('freehold_mover', 'source'), on.as('freehold_mover', 'target')]
for (const database of ['source', 'target']) {
  await withClient(asSuperuser(on.cluster, database), 'test', (client) =>
    client.query(
      "insert into freehold.resident (tenant_id, epoch, entry_digest, state) values ($1, 1, $2, 'active')",
      [tenantId, entryDigest(entryKey)],
    ),
  )
}
const tables = await withClient(source, 'test', (client) => readTables(client))
await withClient(on.as('freehold_owner', 'source'), 'test', (owner) =>
  createPublication(owner, 'changes', tables, tenantId),
)
const replication = await connectReplication(source, 'test')
await createSlot(replication, {
  name: 'changes',
  lifetime: 'permanent',
  timeoutMs: 10_000,
  signal: new AbortController().signal,
})
await replication.end()

const writer = await connectClient(asSuperuser(on.cluster, 'source'), 'test')
t.teardown(() => writer.end())
const insert = (name: string) =>
  writer.query("insert into customers (tenant_id, email, name) values ($1, $2 || '@x.test', $2)", [
    tenantId,
    name,
  ])

async function start(fencingToken: number): Promise<Applier> {
  const claim = { stream: 'changes', fencingToken }
  await withClient(target, 'test', (mover) => claimTarget(mover, claim))
  return Applier.start({
    source: { address: source, slot: 'changes', publication: 'changes' },
    target: { tenantId, epoch: 1, entryKey, schema: 'public', mover: target },
    ...claim,
    tables: pairTables(tables, tables),
  })
}

const names = () =>
  withClient(asSuperuser(on.cluster, 'target'), 'test', async (client) =>
    (await client.query<{ name: string }>('select name from customers order by name')).rows.map(
      ({ name }) => name,
    ),
  )

t.test('what could not be applied is not acknowledged, and comes again', async (t) => {
  const first = await start(1)
  await insert('a')
  await first.drain(writer, 5_000)
  // The target is locked, and then cut off under the transaction that waits for it.
  const blocker = await connectClient(asSuperuser(on.cluster, 'target'), 'test')
  await blocker.query('begin; lock table customers in exclusive mode')
  await insert('b')
  await sleep(200)
  await blocker.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'freehold-apply %'",
  )
  // Work that is none of the tenant's makes the source tell the stream how far the log has come.
  for (let round = 0; round < 60; round++) {
    await writer.query('update currencies set name = name')
    await sleep(25)
  }
  await blocker.query('rollback')
  await blocker.end()
  await t.rejects(first.drain(writer, 1_000), 'the applier is over')
  await first.close()
  t.same(await names(), ['a'])

  const second = await start(2)
  await insert('c')
  await second.drain(writer, 5_000)
  await second.close()
  t.same(await names(), ['a', 'b', 'c'], 'nothing is missing, nothing is there twice')
})

t.test('an applier whose lease was taken writes nothing any more', async (t) => {
  const former = await start(3)
  await former.drain(writer, 5_000)
  await withClient(asSuperuser(on.cluster, 'target'), 'test', (client) =>
    client.query("update freehold.applied set fencing_token = 4 where stream = 'changes'"),
  )
  await insert('d')
  await t.rejects(former.drain(writer, 5_000), { code: 'lease_lost' })
  await former.close()
  t.same(await names(), ['a', 'b', 'c'])
  const successor = await start(5)
  await successor.drain(writer, 5_000)
  await successor.close()
  t.same(await names(), ['a', 'b', 'c', 'd'])
  await t.rejects(start(4), { code: 'lease_lost' }, 'an older lease cannot take the target back')
})

t.test('a change without its row is a divergence, never passed over', async (t) => {
  const applier = await start(6)
  await withClient(asSuperuser(on.cluster, 'target'), 'test', (client) =>
    client.query("delete from customers where name = 'a'"),
  )
  await writer.query("update customers set name = 'a2' where name = 'a'")
  await t.rejects(applier.drain(writer, 5_000), /diverged/)
  await applier.close()
})
