import { setTimeout as sleep } from 'node:timers/promises'
import type { MoveDetail, OperationId } from '@freehold/contract'
import { closeClient, connectClient, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { haltAt } from '../kit/halt-at.ts'
import { type MovingGround, prepareMovingGround } from '../kit/moving-ground.ts'
import { expireLease, relay } from '../kit/relay.ts'
import { contentAt, databaseOf, remainsOf } from '../kit/tenant-places.ts'
import { startTenantWriter } from '../kit/tenant-writer.ts'
import { barrierNames, barriers } from './barriers.ts'

/**
 * A worker that stands still at a durable write, loses its lease, and goes on when another has taken the move to its
 * end. Neither may lose a write, nor open two homes, nor leave anything behind.
 */
const BARRIERS = barrierNames.filter((name) => barriers[name] === 'move' && name !== 'completed.entered')

const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())

/** A move is verified anew by each of its workers, and only so often. */
const switching = BARRIERS.indexOf('cutover.entered')
const halves = { before: BARRIERS.slice(0, switching), during: BARRIERS.slice(switching) }

for (const [changeStream, half] of [
  ['logical', 'before'],
  ['logical', 'during'],
  ['triggers', 'before'],
  ['triggers', 'during'],
] as const) {
  t.test(
    `workers that lose their leases one after the other, at every barrier, by ${changeStream}, ${half} the switch`,
    async (t) => {
      const tenant = await ground.tenant(`by-${changeStream}-${half}`, 100)
      const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant, 2)
      const move = await ground.startMove(tenant, 'eu', changeStream)
      const ended = await relay(ground, move.id, halves[half])
      const report = await writer.stop()

      t.equal(ended.phase, 'completed', {
        timeline: ended.events.map(({ phase, message }) => `${phase}: ${message}`),
      })
      t.same(report.failures, [], 'no write failed')
      t.ok(report.acknowledged > 0, 'the tenant was written to')
      t.same(await report.differences(databaseOf(ground, ended.to)), [], 'nothing lost or doubled')
      t.equal((await contentAt(ground, tenant.id, ended.to)).orders?.length, 100)
      t.same(await residency(ended), { source: 'moved', target: 'active' }, 'one home')
      t.same(await remainsOf(ground, tenant.id, ended.from), [], 'nothing is left behind')
      t.same(await silosOf(ended), [ended.to.database], 'nor a target that was given up')
    },
  )
}

t.test('a worker cannot fence when its attempt was found not to have begun, and was cancelled', async (t) => {
  const tenant = await ground.tenant('late-fence', 300)
  const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant, 2)
  const move = await ground.startMove(tenant)
  const intended = haltAt('cutover.intended')
  const slow = ground.engine({ leaseMs: 600_000, barrier: intended.barrier })
  const slowRun = slow.nudge(move.id)
  await intended.reached
  await expireLease(ground, move.id)
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

t.test(
  'a worker that stands still in the middle of a purge does not keep its successor from it',
  async (t) => {
    const tenant = await ground.tenant('stuck-purge', 50)
    const move = await ground.startMove(tenant)
    const inPool = asSuperuser(ground.us.cluster, 'pool')
    // The purge waits for these rows, in a transaction that holds the claim of the source.
    const holder = await connectClient(inPool, 'test')
    t.teardown(() => closeClient(holder))
    const retired = haltAt('finalize.entered')
    const slow = ground.engine({ leaseMs: 600_000, barrier: retired.barrier, settings: { copyStreams: 1 } })
    const slowRun = slow.nudge(move.id)
    await retired.reached
    await holder.query('begin')
    await holder.query('select from customers where tenant_id = $1 for update', [tenant.id])
    retired.goOn()
    const [stuck] = await purging(move.id, 1)
    t.type(stuck, 'number')

    await expireLease(ground, move.id)
    const neighbour = await connectClient(
      ground.us.as('freehold_mover', 'pool'),
      `freehold-move ${'0'.repeat(32)}_1`,
    )
    t.teardown(() => closeClient(neighbour))
    const successor = ground.engine({ settings: { copyStreams: 1 } })
    successor.start()
    const [next] = await purging(move.id, 2)
    t.not(next, stuck, 'the successor has come as far, while the rows are still held')
    await holder.query('rollback')
    t.equal((await ground.ended(move.id, 400_000)).phase, 'completed')
    t.same(
      (await neighbour.query('select 1 as alive')).rows,
      [{ alive: 1 }],
      "another move's connection is left",
    )
    await successor.stop()
    await slowRun
    await slow.stop()
  },
)

/** The server's processes in which a lease of the move waits to delete rows. */
async function purging(move: OperationId, token: number): Promise<number[]> {
  return withClient(asSuperuser(ground.us.cluster, 'pool'), 'test', async (client) => {
    for (let looks = 0; looks < 600; looks++) {
      const { rows } = await client.query<{ pid: number }>(
        `select pid from pg_stat_activity where wait_event_type = 'Lock' and query like 'delete from%'
         and application_name = $1`,
        [`freehold-move ${move.replaceAll('-', '')}_${token}`],
      )
      if (rows.length > 0) return rows.map(({ pid }) => pid)
      await sleep(50)
    }
    throw new Error(`lease ${token} purges nothing`)
  })
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

/** The databases that were made for the tenant. */
async function silosOf({ to }: MoveDetail): Promise<string[]> {
  return withClient(asSuperuser(ground.eu.cluster, 'postgres'), 'test', async (client) => {
    const found = await client.query<{ name: string }>(
      "select datname as name from pg_database where datname like $1 || '%'",
      [to.database.replace(/_t\d+$/, '')],
    )
    return found.rows.map(({ name }) => name)
  })
}
