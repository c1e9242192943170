import { setTimeout as sleep } from 'node:timers/promises'
import type { MoveDetail } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { haltAt } from '../kit/halt-at.ts'
import { type MovingGround, prepareMovingGround } from '../kit/moving-ground.ts'
import { tenantContent } from '../kit/tenant-content.ts'
import { startTenantWriter } from '../kit/tenant-writer.ts'
import { barrierNames, barriers } from './barriers.ts'

/**
 * A worker that stands still at a durable write, loses its lease, and goes on when another has taken the move to its
 * end. Neither may lose a write, nor open two homes, nor leave anything behind.
 */
const BARRIERS = barrierNames.filter((name) => barriers[name] === 'move' && name !== 'completed.entered')

/** So long that a worker does not notice by itself that its lease is gone. */
const UNNOTICED_LEASE_MS = 600_000

const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())

for (const barrier of BARRIERS) {
  t.test(`a worker that loses its lease at ${barrier}`, async (t) => {
    const tenant = await ground.tenant(`at-${barrier.replace(/[._]/g, '-')}`, 300)
    const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant, 2)
    const move = await ground.startMove(tenant)

    const halt = haltAt(barrier)
    const slow = ground.engine({ leaseMs: UNNOTICED_LEASE_MS, barrier: halt.barrier })
    const slowRun = slow.nudge(move.id)
    await halt.reached
    await expireLease(move.id)
    const successor = ground.engine()
    successor.start()
    const ended = await ground.ended(move.id)
    halt.goOn()
    await slowRun
    await sleep(50)
    await successor.stop()
    await slow.stop()
    const report = await writer.stop()

    t.equal(ended.phase, 'completed', {
      timeline: ended.events.map(({ phase, message }) => `${phase}: ${message}`),
    })
    t.same(report.failures, [], 'no write failed')
    t.ok(report.acknowledged > 0, 'the tenant was written to')
    t.same(
      await report.differences(asSuperuser(ground.eu.cluster, ended.to.database)),
      [],
      'nothing lost or doubled',
    )
    t.same(
      await tenantContent(asSuperuser(ground.us.cluster, 'pool'), tenant.id),
      {},
      'the pool holds none of it',
    )
    t.same(await residency(ended), { source: 'moved', target: 'active' }, 'one home')
    t.same(await leftovers(ended), [], 'nothing is left behind')
  })
}

t.test('a worker cannot fence when its attempt was found not to have begun, and was cancelled', async (t) => {
  const tenant = await ground.tenant('late-fence', 300)
  const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant, 2)
  const move = await ground.startMove(tenant)
  const intended = haltAt('cutover.intended')
  const slow = ground.engine({ leaseMs: UNNOTICED_LEASE_MS, barrier: intended.barrier })
  const slowRun = slow.nudge(move.id)
  await intended.reached
  await expireLease(move.id)
  const calledOff = haltAt('ready.entered')
  const successor = ground.engine({ barrier: calledOff.barrier })
  successor.start()
  await calledOff.reached
  await ground.catalog.operations.requestCancel(move.id)
  intended.goOn()
  await slowRun
  calledOff.goOn()
  const ended = await ground.ended(move.id)
  await successor.stop()
  await slow.stop()
  const report = await writer.stop()

  t.equal(ended.phase, 'aborted', 'the cancel that was accepted is kept')
  t.same(report.failures, [], 'no write failed')
  t.same(await report.differences(asSuperuser(ground.us.cluster, 'pool')), [], 'nothing lost or doubled')
  t.equal(await residencyAt(ground.us, 'pool', ended), 'active', 'the tenant is where it was')
  t.equal((await ground.catalog.placements.home(tenant.id)).epoch, 1, 'and the catalog says so')
  t.same(await ground.catalog.ledger.unreleased(), [], 'nothing is left behind')
})

async function expireLease(id: string): Promise<void> {
  await withClient(asSuperuser(ground.us.cluster, 'freehold_catalog'), 'test', (client) =>
    client.query(
      "update catalog.operations set lease_expires_at = clock_timestamp() - interval '1 s' where id = $1",
      [id],
    ),
  )
}

async function residency(move: MoveDetail): Promise<{ source: unknown; target: unknown }> {
  return {
    source: await residencyAt(ground.us, 'pool', move),
    target: await residencyAt(ground.eu, move.to.database, move),
  }
}

function residencyAt({ cluster }: MovingGround['us'], database: string, move: MoveDetail): Promise<unknown> {
  return withClient(asSuperuser(cluster, database), 'test', async (client) => {
    const found = await client.query('select state from freehold.resident where tenant_id = $1', [
      move.tenant.id,
    ])
    return found.rows[0]?.state
  })
}

async function leftovers(move: MoveDetail): Promise<unknown[]> {
  const list = (cluster: MovingGround['us'], database: string, sql: string) =>
    withClient(
      asSuperuser(cluster.cluster, database),
      'test',
      async (client) => (await client.query(sql)).rows,
    )
  const tenants = move.to.database.replace(/_t\d+$/, '')
  return [
    ...(await ground.catalog.ledger.unreleased()),
    ...(await list(ground.us, 'pool', 'select slot_name from pg_replication_slots')),
    ...(await list(ground.us, 'pool', 'select pubname from pg_publication')),
    ...(await list(
      ground.eu,
      'postgres',
      `select datname from pg_database where datname like '${tenants}%' and datname <> '${move.to.database}'`,
    )),
  ]
}
