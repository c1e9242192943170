import { setTimeout as sleep } from 'node:timers/promises'
import { moveTargetSchema, switchConditionsSchema } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import { startTenantWriter } from '../../../test/kit/tenant-writer.ts'
import { until } from '../../../test/kit/until.ts'

const ground = await prepareMovingGround()
const { catalog } = ground
t.teardown(() => ground.remove())

const source = (sql: string, values: unknown[] = []) =>
  withClient(asSuperuser(ground.us.cluster, 'pool'), 'test', (client) => client.query(sql, values))

t.test('a move that is paused while it copies keeps its snapshot, and goes on where it was', async (t) => {
  const tenant = await ground.tenant('pausing', 500)
  const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant)
  const move = await ground.startMove(tenant)
  let copied = 0
  const engine = ground.engine({
    concurrency: 1,

    settings: { copyStreams: 1 },
    barrier: async (name) => {
      if (name !== 'backfill.table_copied' || ++copied !== 1) return
      await catalog.operations.requestPause(move.id, 'ada')
      void engine.nudge(move.id)
      await sleep(200)
    },
  })
  engine.start()
  await until(async () => (await catalog.moves.get(move.id)).waiting?.for === 'resume')
  await until(async () => ((await catalog.moves.get(move.id)).progress.lagBytes ?? 0) > 10_000)
  const paused = await catalog.moves.get(move.id)
  t.equal(paused.phase, 'backfill')
  t.ok(paused.progress.rowsCopied < 1_500, 'most tables are still to be copied')

  const other = await ground.tenant('passing', 100)
  const passed = await ground.ended((await ground.startMove(other)).id)
  t.equal(passed.phase, 'completed', 'the only place of the worker is left to others')

  await catalog.operations.resume(move.id, 'eve')
  void engine.nudge(move.id)
  const ended = await ground.ended(move.id)
  await engine.stop()
  const report = await writer.stop()
  t.equal(ended.phase, 'completed')
  t.same(
    ended.events
      .map(({ message }) => message)
      .filter((message) => /begins anew|Paused|Resumed/.test(message)),
    ['Paused by ada.', 'Resumed by eve.'],
    'one copy',
  )
  t.same(report.failures, [])
  t.same(await report.differences(asSuperuser(ground.eu.cluster, ended.to.database)), [])
})

t.test('a move that waits for its approval keeps in step, and is switched when it is given', async (t) => {
  const tenant = await ground.tenant('approved', 200)
  const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant)
  const cutover = switchConditionsSchema.parse({ approve: true })
  const move = await ground.startMove(tenant, 'eu', 'auto', { cutover })
  const first = ground.engine({ concurrency: 1 })
  first.start()
  await until(async () => (await catalog.moves.get(move.id)).waiting?.for === 'approval')
  const other = await ground.tenant('hasty', 100)
  t.equal((await ground.ended((await ground.startMove(other)).id)).phase, 'completed')

  await first.stop()
  const second = ground.engine({ concurrency: 1 })
  second.start()
  const applied = async () => (await catalog.moves.get(move.id)).progress.lagBytes
  await until(async () => (await catalog.operations.due(10)).length === 0)
  await sleep(500)
  await until(async () => ((await applied()) ?? Infinity) < 100_000)
  t.equal((await catalog.moves.get(move.id)).phase, 'ready')
  t.equal((await catalog.tenants.get(tenant.id)).placement.epoch, 1, 'nothing is switched unasked')

  await catalog.operations.approve(move.id, 'ada')
  void second.nudge(move.id)
  const ended = await ground.ended(move.id)
  await second.stop()
  const report = await writer.stop()
  t.equal(ended.phase, 'completed')
  t.same(report.failures, [])
  t.same(await report.differences(asSuperuser(ground.eu.cluster, ended.to.database)), [])
  t.match(ended.cutover, { approve: true, approvedBy: 'ada' })
})

t.test('a paused move can be given up, and leaves nothing', async (t) => {
  const tenant = await ground.tenant('cut-short', 100)
  const cutover = switchConditionsSchema.parse({ approve: true })
  const engine = ground.engine()
  engine.start()
  const move = await ground.startMove(tenant, 'eu', 'auto', { cutover })
  await until(async () => (await catalog.moves.get(move.id)).waiting?.for === 'approval')
  await catalog.operations.requestPause(move.id, 'ada')
  await catalog.operations.requestCancel(move.id)
  void engine.nudge(move.id)
  t.match(await ground.ended(move.id), { phase: 'aborted', error: { code: 'move_cancelled' } })
  await engine.stop()
  const left = await source('select from pg_replication_slots')
  t.equal(left.rowCount, 0)
})

t.test('a move with a limit of its own copies no faster, and says why and how far it is', async (t) => {
  const tenant = await ground.tenant('patient', 2_000)
  const engine = ground.engine()
  engine.start()
  // Into a pool, where the rows come bit by bit from another place than the one they are copied to.
  const pool = moveTargetSchema.parse({ isolation: 'pool', region: 'eu' })
  const move = await ground.startMove(tenant, pool, 'auto', { maxRowsPerSecond: 2_000 })
  const progress = async () => (await catalog.moves.get(move.id)).progress
  await until(async () => (await progress()).throttled === 'at most 2000 rows/s')
  await until(async () => {
    const { tables, etaSeconds, rowsPerSecond } = await progress()
    const isUnderWay = tables.some(({ rowsCopied }) => rowsCopied > 0 && rowsCopied < 2_000)
    return isUnderWay && (etaSeconds ?? 0) > 0 && (rowsPerSecond ?? 0) > 0
  })
  const ended = await ground.ended(move.id)
  await engine.stop()
  t.match(ended, { phase: 'completed', maxRowsPerSecond: 2_000, progress: { throttled: null } })
  const rows = ended.progress.rowsCopied
  // The last rows of either stream need not be waited for.
  t.ok(
    (ended.progress.seconds.backfill ?? 0) > (rows / 2_000) * 0.5,
    `${rows} rows in ${ended.progress.seconds.backfill} s`,
  )
})
