import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import {
  type Isolation,
  type Move,
  type MoveDetail,
  type MovePhase,
  moveTargetSchema,
  type OperationId,
  placementSchema,
  type Tenant,
} from '@freehold/contract'
import type { Engine } from '@freehold/engine'
import type { DatabaseAddress } from '@freehold/postgres'
import { formatDatabaseUrl, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { haltAt } from '../kit/halt-at.ts'
import { type MovingGround, prepareMovingGround, TEST_ENTRY_SECRET } from '../kit/moving-ground.ts'
import { tenantContent } from '../kit/tenant-content.ts'
import { contentAt, databaseOf, remainsOf } from '../kit/tenant-places.ts'
import { startTenantWriter } from '../kit/tenant-writer.ts'

const WINDOW_SECONDS = 3_600
/** Where a tenant goes with a window, and whether it stays. A schema of its own is in the database of the pool. */
const JOURNEY: readonly [region: 'us' | 'eu', isolation: Isolation, stays: boolean][] = [
  ['us', 'schema', false],
  ['us', 'schema', true],
  ['eu', 'silo', true],
  ['us', 'pool', false],
]
const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())
const reader = ground.us.as('freehold_reader', 'freehold_catalog')
const pool = asSuperuser(ground.us.cluster, 'pool')
const silo = (move: Pick<Move, 'to'>) => asSuperuser(ground.eu.cluster, move.to.database)
const soaking = { settings: { soakIntervalMs: 100 } }

t.test('a tenant is moved, rolled back, moved again and stays, while it is written to', async (t) => {
  const tenant = await ground.tenant('traveller', 500)
  const neighbour = await ground.tenant('neighbour', 100)
  const before = await tenantContent(pool, neighbour.id)
  const writer = startTenantWriter(reader, tenant, 3)
  const engine = ground.engine(soaking)
  engine.start()

  const first = await ground.startMove(tenant, 'eu', 'auto', {}, WINDOW_SECONDS)
  const open = await inPhase(first.id, 'soak')
  t.match(open.rollback, { seconds: WINDOW_SECONDS, state: 'open', problem: null })
  await soaked(first.id)
  t.ok((await tenantContent(pool, tenant.id)).orders?.length === 500, 'the old home keeps what it had')
  await ground.catalog.operations.requestRollback(first.id)
  const back = await ground.ended(first.id)
  t.equal(back.phase, 'rolled_back', said(back))
  t.match(await ground.catalog.placements.home(tenant.id), { database: 'pool', cluster: 'us-1', epoch: 3 })
  t.equal(await residency(pool, tenant), 'active')
  t.same(await leftovers(back), [], 'of the first move nothing is left')

  const second = await ground.startMove(
    await ground.catalog.tenants.get(tenant.id),
    'eu',
    'auto',
    {},
    WINDOW_SECONDS,
  )
  await inPhase(second.id, 'soak')
  await soaked(second.id)
  await ground.catalog.operations.requestFinalize(second.id)
  const ended = await ground.ended(second.id)
  t.equal(ended.phase, 'completed', said(ended))
  const report = await writer.stop()
  await engine.stop()

  t.comment(`${report.acknowledged} writes, longest pause ${report.longestPauseMs.toFixed(1)} ms`)
  t.ok(report.acknowledged > 100, 'the tenant was written to')
  t.same(report.failures, [], 'no write failed')
  t.same(await report.differences(silo(ended)), [], 'every acknowledged write is in the home, once')
  t.equal((await tenantContent(silo(ended), tenant.id)).orders?.length, 500)
  t.same(await tenantContent(pool, tenant.id), {}, 'the pool holds none of its rows')
  t.same(await tenantContent(pool, neighbour.id), before, 'the neighbour is as it was')
  t.equal(await residency(pool, tenant), 'moved')
  t.same(await leftovers(ended, { home: true }), [], 'nothing is left behind')
})

t.test('a stream back that is lost makes the rollback unsafe, and the move can be finalized', async (t) => {
  const tenant = await ground.tenant('stranded', 50)
  const engine = ground.engine(soaking)
  engine.start()
  const { id } = await ground.startMove(tenant, 'eu', 'auto', {}, WINDOW_SECONDS)
  await inPhase(id, 'soak')
  await soaked(id)
  await dropSlots(ground.eu)
  const unsafe = await until(id, ({ rollback }) => rollback?.state === 'unsafe')
  t.match(unsafe.rollback?.problem, { code: 'rollback_unsafe', details: { cause: 'change_stream_failed' } })
  t.match(unsafe.events.at(-1)?.message, /^Rolling back is not safe any more: /)
  await t.rejects(ground.catalog.operations.requestRollback(id), { code: 'rollback_unsafe' })
  await ground.catalog.operations.requestFinalize(id)
  const ended = await ground.ended(id)
  await engine.stop()
  t.equal(ended.phase, 'completed', said(ended))
  t.equal((await tenantContent(silo(ended), tenant.id)).orders?.length, 50)
  t.same(await tenantContent(pool, tenant.id), {})
  t.same(await leftovers(ended, { home: true }), [])
})

t.test('a rollback is unsafe when the two sides are found to differ', async (t) => {
  const tenant = await ground.tenant('tampered', 50)
  const engine = ground.engine(soaking)
  engine.start()
  const { id } = await ground.startMove(tenant, 'eu', 'auto', {}, WINDOW_SECONDS)
  await inPhase(id, 'soak')
  await soaked(id)
  await withClient(pool, 'test', (client) =>
    client.query(
      "update customers set name = name || '.' where id = (select id from customers where tenant_id = $1 limit 1)",
      [tenant.id],
    ),
  )
  await ground.catalog.operations.requestRollback(id)
  const unsafe = await until(id, ({ phase, rollback }) => phase === 'soak' && rollback?.state === 'unsafe')
  t.match(unsafe.rollback?.problem?.details, { cause: 'verification_failed', table: 'customers' })
  t.match(await ground.catalog.placements.home(tenant.id), { epoch: 2 }, 'the tenant stays at its new home')
  await ground.catalog.operations.requestFinalize(id)
  const ended = await ground.ended(id)
  await engine.stop()
  t.equal(ended.phase, 'completed', said(ended))
  t.same(await leftovers(ended, { home: true }), [])
})

t.test('a window that is over is closed, and the move cannot be rolled back any more', async (t) => {
  const tenant = await ground.tenant('settled', 50)
  const engine = ground.engine(soaking)
  engine.start()
  const { id } = await ground.startMove(tenant, 'eu', 'auto', {}, 1)
  const ended = await ground.ended(id)
  await engine.stop()
  t.equal(ended.phase, 'completed', said(ended))
  t.match(ended.rollback, { seconds: 1, state: 'closed' })
  await t.rejects(ground.catalog.operations.requestRollback(id), { code: 'rollback_not_possible' })
  await t.rejects(
    ground.catalog.operations.requestFinalize(id).then(() => ground.catalog.operations.requestCancel(id)),
    {
      code: 'move_not_cancellable',
    },
  )
  t.same(await tenantContent(pool, tenant.id), {})
  t.same(await leftovers(ended, { home: true }), [])
})

t.test('every direction can be rolled back, and rests where it is kept', async (t) => {
  const tenant = await ground.tenant('wanderer', 100)
  const writer = startTenantWriter(reader, tenant, 2, { writesPerSecond: 100 })
  const engine = ground.engine(soaking)
  engine.start()
  for (const [region, isolation, stays] of JOURNEY) {
    const { placement: from } = await ground.catalog.tenants.get(tenant.id)
    await t.test(`${from.isolation} in ${from.region} to ${isolation} in ${region}`, async (t) => {
      const { id } = await ground.startMove(
        tenant,
        moveTargetSchema.parse({ isolation, region }),
        'auto',
        {},
        WINDOW_SECONDS,
      )
      await inPhase(id, 'soak')
      await soaked(id)
      if (stays) await ground.catalog.operations.requestFinalize(id)
      else await ground.catalog.operations.requestRollback(id)
      const ended = await ground.ended(id)
      t.equal(ended.phase, stays ? 'completed' : 'rolled_back', said(ended))
      const { epoch, ...home } = await ground.catalog.placements.home(tenant.id)
      t.equal(epoch, from.epoch + (stays ? 1 : 2))
      t.match(home, { region: stays ? region : from.region, isolation: stays ? isolation : from.isolation })
      t.same(await remainsOf(ground, tenant.id, stays ? from : placementSchema.parse(ended.to)), [])
      t.same(await ground.catalog.ledger.unreleased(), [], 'nothing is left behind')
    })
  }
  const report = await writer.stop()
  await engine.stop()
  t.same(report.failures, [], 'no write failed')
  const home = await ground.catalog.placements.home(tenant.id)
  t.same(await report.differences(databaseOf(ground, home), home.schema), [], 'nothing lost or doubled')
  t.equal((await contentAt(ground, tenant.id, home)).orders?.length, 100)
})

/** Where a worker may stand still for ever, or die, one after the other. */
const ON_THE_WAY_BACK = [
  'ready.recorded',
  'ready.stream_back_created',
  'cutover.frozen',
  'cutover.activated',
  'soak.entered',
  'soak.turned',
  'soak.expected',
  'soak.applying',
  'rolling_back.entered',
  'rolling_back.verified',
  'cutover.intended',
  'cutover.fenced',
  'cutover.drained',
  'cutover.sealed',
  'cutover.frozen',
  'cutover.home_switched',
  'cutover.retired',
  'cutover.activated',
  'rolling_back.released',
  'finalize.database_dropped',
]
const TO_THE_END = ['soak.applying', 'finalize.entered', 'finalize.released', 'finalize.batch_purged']

for (const { name, barriers, ends } of [
  { name: 'rolled back', barriers: ON_THE_WAY_BACK, ends: 'rolled_back' },
  { name: 'finalized', barriers: TO_THE_END, ends: 'completed' },
]) {
  t.test(
    `a move is ${name} by workers of which each stands still and goes on when all is over`,
    async (t) => {
      const tenant = await ground.tenant(`relay-${ends.replace('_', '-')}`, 100)
      const writer = startTenantWriter(reader, tenant, 2)
      const { id } = await ground.startMove(tenant, 'eu', 'auto', {}, WINDOW_SECONDS)
      const slow: { goOn: () => void; run: Promise<void>; engine: Engine }[] = []
      for (const barrier of barriers) {
        const halt = haltAt(barrier)
        const engine = ground.engine({ ...soaking, leaseMs: 600_000, barrier: halt.barrier })
        const run = keepNudging(engine, id, halt.reached)
        await halt.reached
        slow.push({ goOn: halt.goOn, run, engine })
        await expireLease(id)
        if (barrier === 'soak.applying') {
          if (ends === 'completed') await ground.catalog.operations.requestFinalize(id)
          else await ground.catalog.operations.requestRollback(id)
        }
      }
      const last = ground.engine(soaking)
      last.start()
      const ended = await ground.ended(id)
      for (const { goOn } of slow) goOn()
      await Promise.all(slow.map(({ run }) => run))
      await sleep(50)
      for (const { engine } of slow) await engine.stop()
      await last.stop()
      const report = await writer.stop()

      t.equal(ended.phase, ends, said(ended))
      t.same(report.failures, [], 'no write failed')
      t.ok(report.acknowledged > 0, 'the tenant was written to')
      const home = ends === 'completed' ? silo(ended) : pool
      t.same(await report.differences(home), [], 'nothing lost or doubled')
      t.equal((await tenantContent(home, tenant.id)).orders?.length, 100)
      if (ends === 'completed') t.same(await tenantContent(pool, tenant.id), {}, 'the pool holds none of it')
      t.equal(await residency(pool, tenant), ends === 'completed' ? 'moved' : 'active')
      t.same(await leftovers(ended, { home: ends === 'completed' }), [], 'nothing is left behind')
    },
  )
}

t.test('a worker process that is killed is followed by another', async (t) => {
  const tenant = await ground.tenant('survivor', 100)
  const { id } = await ground.startMove(tenant, 'eu', 'auto', {}, WINDOW_SECONDS)
  const writer = startTenantWriter(reader, tenant, 2, { writesPerSecond: 100 })
  const first = ground.engine(soaking)
  first.start()
  await inPhase(id, 'soak')
  await first.stop()
  for (const barrier of ['soak.applying', 'cutover.fenced', 'cutover.sealed', 'finalize.database_dropped']) {
    await killedAt(barrier)
    if (barrier === 'soak.applying') await ground.catalog.operations.requestRollback(id)
  }
  const last = ground.engine(soaking)
  last.start()
  const ended = await ground.ended(id)
  await last.stop()
  const report = await writer.stop()
  t.equal(ended.phase, 'rolled_back', said(ended))
  t.same(report.failures, [], 'no write failed')
  t.same(await report.differences(pool), [], 'nothing lost or doubled')
  t.same(await leftovers(ended), [], 'nothing is left behind')
})

/** Runs a worker until it has killed itself by SIGKILL at a durable write. */
async function killedAt(barrier: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'freehold-killed-'))
  const worker = spawn(
    process.execPath,
    ['--conditions=@freehold/source', fileURLToPath(new URL('../faults/killed-worker.ts', import.meta.url))],
    {
      stdio: 'ignore',
      env: {
        ...process.env,
        KILL_AT: barrier,
        KILL_MARK: join(folder, 'mark'),
        FREEHOLD_CATALOG_URL: formatDatabaseUrl(ground.us.as('freehold_control', 'freehold_catalog')),
        FREEHOLD_ENTRY_SECRET: TEST_ENTRY_SECRET,
        // Nobody listens there: work is found by polling.
        REDIS_URL: 'redis://127.0.0.1:1',
        FREEHOLD_LEASE_MS: '1500',
        FREEHOLD_POLL_MS: '100',
        FREEHOLD_SOAK_INTERVAL_MS: '100',
        FREEHOLD_FENCE_EXPIRY_MS: '2000',
      },
    },
  )
  const [, signal] = await once(worker, 'exit')
  await rm(folder, { recursive: true })
  if (signal !== 'SIGKILL') throw new Error(`the worker has ended before ${barrier}`)
}

/** Has an engine take the operation up until it comes to where it stands still. */
async function keepNudging(engine: Engine, id: OperationId, reached: Promise<void>): Promise<void> {
  let there = false
  void reached.then(() => {
    there = true
  })
  while (!there) {
    await engine.nudge(id)
    await sleep(20)
  }
}

async function expireLease(id: OperationId): Promise<void> {
  await withClient(asSuperuser(ground.us.cluster, 'freehold_catalog'), 'test', (client) =>
    client.query(
      "update catalog.operations set lease_expires_at = clock_timestamp() - interval '1 s' where id = $1",
      [id],
    ),
  )
}

async function dropSlots({ cluster }: MovingGround['eu']): Promise<void> {
  await withClient(asSuperuser(cluster, 'postgres'), 'test', async (client) => {
    await client.query('select pg_terminate_backend(active_pid) from pg_replication_slots where active')
    await client.query(
      'select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active',
    )
  })
}

function said(move: MoveDetail): string {
  return JSON.stringify(
    [move.error, move.events.map(({ phase, message }) => `${phase}: ${message}`)],
    null,
    1,
  )
}

const inPhase = (id: OperationId, phase: MovePhase) => until(id, (move) => move.phase === phase)

async function until(id: OperationId, is: (move: MoveDetail) => boolean): Promise<MoveDetail> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const move = await ground.catalog.moves.detail(id)
    if (is(move)) return move
    if (move.finishedAt !== null || performance.now() > deadline) throw new Error(said(move))
    await sleep(20)
  }
}

/** Waits until the changes have been carried back some times. */
async function soaked(id: OperationId): Promise<void> {
  const before = (await ground.catalog.operations.get(id)).fencingToken
  const deadline = performance.now() + 30_000
  while ((await ground.catalog.operations.get(id)).fencingToken < before + 2) {
    if (performance.now() > deadline) throw new Error(said(await ground.catalog.moves.detail(id)))
    await sleep(20)
  }
}

async function residency(database: DatabaseAddress, tenant: Tenant): Promise<unknown> {
  return withClient(database, 'test', async (client) => {
    const found = await client.query('select state from freehold.resident where tenant_id = $1', [tenant.id])
    return found.rows[0]?.state
  })
}

/** What a move that has ended has left, but for the database that has become the tenant's home. */
async function leftovers({ to }: MoveDetail, { home = false } = {}): Promise<unknown[]> {
  const list = (address: DatabaseAddress, sql: string) =>
    withClient(address, 'test', async (client) => (await client.query(sql)).rows)
  const slots = 'select slot_name from pg_replication_slots'
  return [
    ...(await ground.catalog.ledger.unreleased()),
    ...(await list(pool, slots)),
    ...(await list(pool, 'select pubname from pg_publication')),
    ...(await list(pool, 'select stream from freehold.applied')),
    ...(await list(asSuperuser(ground.eu.cluster, 'postgres'), slots)),
    ...(home
      ? await list(asSuperuser(ground.eu.cluster, to.database), 'select pubname from pg_publication')
      : await list(
          asSuperuser(ground.eu.cluster, 'postgres'),
          `select datname from pg_database where datname = '${to.database}'`,
        )),
  ]
}
