import {
  type ClusterId,
  clusterIdSchema,
  type Evacuation,
  moveTargetSchema,
  regionIdSchema,
  type Tenant,
} from '@freehold/contract'
import { closeClient, connectClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { prepareMovingGround, TEST_ENTRY_SECRET } from '../../../test/kit/moving-ground.ts'
import { until } from '../../../test/kit/until.ts'
import { planDrain } from '../src/evacuate.ts'

const ground = await prepareMovingGround()
const { catalog } = ground
t.teardown(() => ground.remove())
const us = clusterIdSchema.parse('us-1')
const eu = clusterIdSchema.parse('eu-1')
const region = regionIdSchema.parse('eu')
const drain = (cluster: ClusterId, maxConcurrent = 2) =>
  catalog.evacuations.begin({ cluster, target: { region }, maxConcurrent, createdBy: 'ada' })

t.test('a cluster is emptied by two workers, a few tenants at a time, and can be run again', async (t) => {
  const tenants = await Promise.all(['one', 'two', 'three'].map((slug) => ground.tenant(slug, 20)))
  const pinned = await ground.tenant('pinned', 50, 'us')

  const nothing = { cluster: us, target: { region }, entrySecret: TEST_ENTRY_SECRET }
  t.equal(
    (await planDrain(catalog, { ...nothing, after: pinned.slug })).tenants.length,
    2,
    'after pinned: three, two',
  )
  const plan = await planDrain(catalog, { cluster: us, target: { region }, entrySecret: TEST_ENTRY_SECRET })
  t.equal(plan.left, 4)
  t.match(
    plan.tenants.find(({ tenant }) => tenant.slug === 'pinned'),
    { to: null, problem: { code: 'residency_violation' } },
  )
  t.equal(plan.tenants.filter(({ to }) => to === eu).length, 3)
  t.equal((await catalog.topology.read()).clusters.find(({ id }) => id === us)?.drainingSince, null)

  let most = 0
  const seen: Evacuation[] = []
  const engines = [1, 2].map(() =>
    ground.engine({
      barrier: async () => {
        const evacuation = await catalog.evacuations.get(us)
        most = Math.max(most, evacuation.moving)
        seen.push(evacuation)
      },
    }),
  )
  await drain(us)
  for (const engine of engines) engine.start()
  await t.rejects(ground.tenant('late', 1), { code: 'pool_not_found' }, 'no tenant is placed there any more')

  const ended = await evacuated(us)
  t.ok(most <= 2, `${most} at the same time`)
  t.match(ended, { moved: 3, refused: 1, waiting: 0, moving: 0, left: 1 })
  for (const { moved, moving, waiting, tenantsPerHour, etaSeconds, finishedAt } of seen) {
    const goesOn = finishedAt === null && moving + waiting > 0
    t.equal(tenantsPerHour !== null, moved > 0, 'a rate, as soon as one has been moved')
    t.equal(etaSeconds !== null, moved > 0 && goesOn, 'and the time that is left at it')
  }
  t.ok(seen.some(({ etaSeconds }) => etaSeconds !== null && etaSeconds > 0))
  t.match(ended, { tenantsPerHour: Number, etaSeconds: null })
  t.match(ended.tenants[0], {
    tenant: { slug: 'pinned' },
    state: 'refused',
    problem: { code: 'residency_violation' },
  })
  for (const { id } of tenants) {
    const { placement } = await catalog.tenants.get(id)
    t.equal(placement.cluster, eu)
    const { items } = await catalog.moves.list({ tenant: id, limit: 10 })
    t.equal(items.length, 1, 'moved once')
    t.equal(items[0]?.evacuation, ended.id)
  }

  const again = await drain(us)
  t.not(again.evacuation.id, ended.id, 'what is left is tried again')
  t.match(await evacuated(us), { moved: 0, refused: 1, left: 1, tenantsPerHour: null, etaSeconds: null })
  await catalog.evacuations.undrain(us)
  t.equal((await ground.tenant('welcome', 1)).placement.cluster, us)
  t.equal((await catalog.tenants.get(pinned.id)).placement.cluster, us)
  await Promise.all(engines.map((engine) => engine.stop()))
})

t.test(
  'what fails for a reason that passes is tried again; what nobody has begun ends with undrain',
  async (t) => {
    const away = clusterIdSchema.parse('eu-away')
    const known = await catalog.topology.cluster(eu)
    await catalog.topology.registerCluster({ ...known, id: away, port: 1 })
    await catalog.topology.registerPool({ clusterId: away, name: 'pool' })
    await catalog.evacuations.begin({
      cluster: us,
      target: { cluster: away },
      maxConcurrent: 1,
      createdBy: 'ada',
    })
    const engine = ground.engine()
    engine.start()
    await until(async () =>
      (await catalog.evacuations.get(us)).tenants.some(
        ({ problem }) => problem?.code === 'target_unreachable',
      ),
    )
    const { tenants } = await catalog.evacuations.get(us)
    t.match(
      tenants.find(({ tenant }) => tenant.slug === 'welcome'),
      { state: 'waiting', attempts: 1, nextAttemptAt: String },
    )

    await catalog.topology.registerCluster({ ...known, id: away })
    await until(async () => (await catalog.evacuations.get(us)).moved > 0)
    await engine.stop()

    await catalog.topology.limitMoves(us, 1)
    await catalog.evacuations.undrain(us)
    const evacuation = await catalog.evacuations.get(us)
    t.ok(evacuation.finishedAt)
    t.same(await catalog.evacuations.open(), [])
  },
)

t.test('a move that was being planned when its evacuation ended is not begun', async (t) => {
  const tenant = await ground.tenant('planned-late', 10)
  const { evacuation } = await drain(us)
  const attempt = () =>
    ground.startMove(tenant, moveTargetSchema.parse({ isolation: 'pool', cluster: eu }), 'auto', {
      evacuation: evacuation.id,
    })
  const control = () => connectClient(asSuperuser(ground.us.cluster, 'freehold_catalog'), 'test')
  // A move that is being recorded stands still before its end is seen by anybody.
  const [blocker, watcher] = await Promise.all([control(), control()])
  t.teardown(() => Promise.all([closeClient(blocker), closeClient(watcher)]))
  await blocker.query('begin; lock table catalog.operation_events in exclusive mode')
  const recording = attempt()
  const waiting = (statement: string) =>
    until(async () => {
      const found = await watcher.query(
        "select from pg_stat_activity where wait_event_type = 'Lock' and query like $1",
        [statement],
      )
      return found.rowCount === 1
    })
  await waiting('%catalog.operation_events%')
  const undrained = catalog.evacuations.undrain(us)
  await waiting('%catalog.evacuations%for update')
  await blocker.query('commit')
  const [{ id }] = await Promise.all([recording, undrained])
  t.equal(
    (await catalog.moves.get(id)).cancelRequested,
    true,
    'seen by who ends the evacuation, and given up',
  )
  const engine = ground.engine()
  engine.start()
  t.equal((await ground.ended(id)).phase, 'aborted')
  await engine.stop()
  await t.rejects(attempt(), { code: 'move_cancelled' }, 'none is recorded afterwards')
})

t.test('nor is one that is recorded while its evacuation is being ended', async (t) => {
  const [planned, late] = [await ground.tenant('planned-early', 10), await ground.tenant('recorded-late', 10)]
  const { evacuation } = await drain(us)
  const attempt = (tenant: Tenant) =>
    ground.startMove(tenant, moveTargetSchema.parse({ isolation: 'pool', cluster: eu }), 'auto', {
      evacuation: evacuation.id,
    })
  const { id } = await attempt(planned)
  const control = () => connectClient(asSuperuser(ground.us.cluster, 'freehold_catalog'), 'test')
  // Whoever ends the evacuation has this move to give up first.
  const [blocker, watcher] = await Promise.all([control(), control()])
  t.teardown(() => Promise.all([closeClient(blocker), closeClient(watcher)]))
  await blocker.query('begin')
  await blocker.query('select from catalog.operations where id = $1 for update', [id])
  const waiting = (sessions: number) =>
    until(async () => {
      const found = await watcher.query("select from pg_stat_activity where wait_event_type = 'Lock'")
      return found.rowCount === sessions
    })
  const undrained = catalog.evacuations.undrain(us)
  await waiting(1)
  const recording = attempt(late).then(
    () => 'recorded',
    (error: unknown) => error,
  )
  await waiting(2)
  await blocker.query('commit')
  await undrained
  t.match(await recording, { code: 'move_cancelled' })
  const engine = ground.engine()
  engine.start()
  t.equal((await ground.ended(id, 300_000)).phase, 'aborted')
  await engine.stop()
})

async function evacuated(cluster: ClusterId): Promise<Evacuation> {
  let evacuation = await catalog.evacuations.get(cluster)
  await until(async () => {
    evacuation = await catalog.evacuations.get(cluster)
    return evacuation.finishedAt !== null
  }).catch((error: unknown) => {
    throw new Error(JSON.stringify(evacuation), { cause: error })
  })
  return evacuation
}
