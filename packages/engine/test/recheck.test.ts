import { setTimeout as sleep } from 'node:timers/promises'
import { connectClient, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import { checkSlot, recheckMove } from '../src/preflight/recheck-move.ts'

/** What is looked at once more right before a switch. */
const ground = await prepareMovingGround()
t.teardown(() => ground.remove())
const pool = asSuperuser(ground.us.cluster, 'pool')
const inEu = (sql: string) =>
  withClient(asSuperuser(ground.eu.cluster, 'postgres'), 'test', (client) => client.query(sql))

t.test('a move does not switch to where the product cannot log in, and goes on once it can', async (t) => {
  const tenant = await ground.tenant('locked-out', 20)
  const move = await ground.startMove(tenant)
  let lockedOut = false
  const engine = ground.engine({
    barrier: async (name) => {
      if (name !== 'ready.entered' || lockedOut) return
      lockedOut = true
      await inEu('alter role freehold_app nologin')
    },
  })
  t.teardown(() => engine.stop())
  engine.start()
  const told = async () => {
    const { events, finishedAt } = await ground.catalog.moves.detail(move.id)
    if (finishedAt !== null) throw new Error('it was not looked at')
    return events.some(({ message }) => /target_unreachable: .* does not let freehold_app into/.test(message))
  }
  while (!(await told())) await sleep(50)
  const cluster = await ground.catalog.topology.cluster(move.to.cluster)
  const target = { cluster, database: move.to.database }
  const found = await withClient(pool, 'test', (client) =>
    recheckMove({ source: { client, cluster: move.from.cluster, slot: null }, target }),
  )
  t.match(found, [{ code: 'application_locked_out' }], 'by a finding of its own')
  t.match(
    await ground.catalog.tenants.get(tenant.id),
    { placement: { epoch: 1 } },
    'the tenant is where it was',
  )
  await inEu('alter role freehold_app login')
  t.equal((await ground.ended(move.id)).phase, 'completed')
})

t.test(
  'a switch waits for a long transaction of the tenant, and keeps no other writer waiting',
  async (t) => {
    const tenant = await ground.tenant('long-writer', 20)
    const move = await ground.startMove(tenant)
    const writer = await connectClient(pool, 'test')
    t.teardown(() => writer.end())
    const engine = ground.engine({
      settings: { lockTimeoutMs: 200 },
      barrier: async (name) => {
        if (name !== 'ready.entered') return
        await writer.query('begin')
        await writer.query('select pg_advisory_xact_lock_shared(freehold.lock_key($1))', [tenant.id])
        await sleep(300)
        setTimeout(() => void writer.query('commit'), 1_000)
      },
    })
    t.teardown(() => engine.stop())
    engine.start()
    const ended = await ground.ended(move.id)
    t.equal(ended.phase, 'completed')
    t.equal(ended.progress.cutoverAttempts, 1, 'no attempt had to be called off')
  },
)

t.test(
  'a slot that the server has given up, and a cluster that is over its limit, are noticed',
  async (t) => {
    const cluster = await ground.catalog.topology.cluster((await ground.tenant('still', 1)).placement.cluster)
    await withClient(pool, 'test', async (client) => {
      await client.query("select pg_create_logical_replication_slot('behind', 'pgoutput')")
      const target = { cluster: { ...cluster, capacityBytes: 1 }, database: 'pool' }
      const found = await recheckMove({ source: { client, cluster: 'us-1', slot: 'behind' }, target })
      t.match(found, [{ code: 'target_without_room' }], 'the slot is kept')
      t.equal(found.length, 1)
      await client.query("alter system set max_slot_wal_keep_size = '1MB'")
      await client.query('select pg_reload_conf()')
      for (let segment = 0; segment < 4; segment++) {
        await client.query("select pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")
      }
      await client.query('checkpoint')
      t.match(await checkSlot(client, 'behind', 'us-1'), [{ code: 'slot_lost' }])
      await client.query("select pg_drop_replication_slot('behind')")
    })
  },
)
