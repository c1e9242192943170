import {
  clusterIdSchema,
  drainPlanSchema,
  evacuationSchema,
  findingRegistry,
  isBlocked,
  moveDetailSchema,
  movePageSchema,
  movePlanSchema,
  moveSchema,
  problemSchema,
  regionIdSchema,
  topologySchema,
} from '@freehold/contract'
import t from 'tap'
import { until } from '../../../test/kit/until.ts'
import { prepareApiGround, toEu } from './api-ground.ts'

const ground = await prepareApiGround()
t.teardown(() => ground.remove())
const { api, authorization, catalog, nudged, get, post, newTenant, start, abort } = ground

t.test('a plan says what a move would do and changes nothing', async (t) => {
  const tenant = await newTenant()
  const answer = await get(`/v1/moves/plan?tenant=${tenant.slug}&isolation=silo&region=eu`)
  t.equal(answer.statusCode, 200)
  const plan = movePlanSchema.parse(answer.json())
  t.match(plan, { from: { cluster: 'us-1', epoch: 1 }, to: { cluster: 'eu-1', isolation: 'silo', epoch: 2 } })
  t.match(plan.estimates, { rows: 0, bytes: 0, seconds: Number, connections: { replication: 2 } })
  t.notOk(isBlocked(plan), JSON.stringify(plan.findings))
  t.same((await get(`/v1/moves?tenant=${tenant.slug}`)).json(), { items: [], nextCursor: null })
})

t.test('a move is recorded, and workers are nudged', async (t) => {
  const tenant = await newTenant()
  const answer = await post('/v1/moves', toEu(tenant.slug))
  t.equal(answer.statusCode, 202)
  const move = moveSchema.parse(answer.json())
  t.match(move, {
    phase: 'planned',
    tenant: { slug: tenant.slug },
    to: { cluster: 'eu-1' },
    cancelRequested: false,
  })
  await until(() => nudged.includes(move.id))
  t.match((await get(`/v1/tenants/${tenant.slug}`)).json(), { activeMoveId: move.id })
  moveDetailSchema.parse((await get(`/v1/moves/${move.id}`)).json())
  const page = movePageSchema.parse((await get('/v1/moves?active=true&limit=1')).json())
  t.same(page.items, [move])

  const second = await post('/v1/moves', toEu(tenant.id))
  t.match(second.json(), {
    status: 409,
    code: 'tenant_moving',
    details: { move: move.id, tenant: tenant.slug },
  })

  nudged.length = 0
  const cancelled = await post(`/v1/moves/${move.id}/cancel`)
  t.equal(cancelled.statusCode, 202)
  t.match(cancelled.json(), { id: move.id, cancelRequested: true })
  await until(() => nudged.includes(move.id))
  await abort(move.id)
  const late = await post(`/v1/moves/${move.id}/cancel`)
  t.match(late.json(), { status: 409, code: 'move_not_cancellable' })
})

t.test('a rollback window is planned, and ended by an operator', async (t) => {
  const tenant = await newTenant()
  const window = { rollbackWindowSeconds: 3_600 }
  const plan = await get(
    `/v1/moves/plan?tenant=${tenant.slug}&isolation=silo&region=eu&rollbackWindowSeconds=3600`,
  )
  t.match(movePlanSchema.parse(plan.json()), window)
  const move = moveSchema.parse((await post('/v1/moves', toEu(tenant.slug, window))).json())
  t.match(move.rollback, { seconds: 3_600, closesAt: null, state: 'pending', problem: null })
  const paths = ['rollback', 'finalize'].map((verb) => `/v1/moves/${move.id}/${verb}`)
  for (const [path, code] of [
    [paths[0], 'rollback_not_possible'],
    [paths[1], 'move_not_finalizable'],
  ]) {
    for (const body of [undefined, { dryRun: true }])
      t.match((await post(String(path), body)).json(), { status: 409, code })
  }

  const claimed = await catalog.operations.claim(move.id, 'test', 60_000)
  const lease = { id: move.id, token: claimed?.fencingToken ?? 0, state: {} }
  await catalog.operations.advance({ ...lease, fromPhase: 'planned', toPhase: 'soak', message: 'Switched.' })
  for (const path of paths) {
    const dry = await post(path, { dryRun: true })
    t.equal(dry.statusCode, 200)
    t.match(moveSchema.parse(dry.json()).rollback, { state: 'open' }, 'a dry run changes nothing')
  }
  nudged.length = 0
  const asked = await post(String(paths[0]))
  t.equal(asked.statusCode, 202)
  t.match(moveSchema.parse(asked.json()).rollback, { state: 'requested' })
  await until(() => nudged.includes(move.id))
  t.match((await post(String(paths[1]))).json(), { status: 409, code: 'move_not_finalizable' })
  await catalog.operations.callOffRollback(lease, {}, 'for the test')
  t.equal((await post(String(paths[1]))).statusCode, 202)
  await catalog.operations.advance({ ...lease, fromPhase: 'soak', toPhase: 'finalize', message: 'Closed.' })
  await catalog.operations.advance({
    ...lease,
    fromPhase: 'finalize',
    toPhase: 'completed',
    message: 'Done.',
  })
  t.match((await get(`/v1/moves/${move.id}`)).json(), { rollback: { state: 'closed' } })
})

t.test(
  'a move that may not be is refused, with a code and what to do next, and changes nothing',
  async (t) => {
    const region = regionIdSchema.parse('us')
    const known = await catalog.topology.cluster(clusterIdSchema.parse('us-1'))
    await catalog.topology.registerCluster({ ...known, id: clusterIdSchema.parse('us-away'), port: 1 })
    await catalog.topology.registerCluster({
      ...known,
      id: clusterIdSchema.parse('us-full'),
      capacityBytes: 1,
    })
    t.equal(known.region, region)
    const pinned = await newTenant({ residency: 'us' })
    const before = (await get('/v1/moves')).json()
    const silo = (target: Record<string, string>, tenant: string = pinned.slug) => ({
      tenant,
      target: { isolation: 'silo', ...target },
    })
    for (const [asked, code] of [
      [silo({ region: 'eu' }), 'residency_violation'],
      [silo({ cluster: 'eu-1' }), 'residency_violation'],
      [silo({ region: 'mars' }), 'region_not_found'],
      [silo({ cluster: 'mars-1' }), 'target_not_found'],
      [silo({ cluster: 'us-away' }), 'target_unreachable'],
      [silo({ cluster: 'us-full' }), 'target_without_room'],
      [silo({ region: 'eu' }, 'nobody'), 'tenant_not_found'],
      [silo({}), 'invalid_request'],
      [silo({ region: 'eu', cluster: 'eu-1' }), 'invalid_request'],
    ] as const) {
      const problem = problemSchema.parse((await post('/v1/moves', asked)).json())
      t.equal(problem.code, code, JSON.stringify(asked.target))
      const query = new URLSearchParams({ tenant: asked.tenant, ...asked.target })
      const planned = await get(`/v1/moves/plan?${query}`)
      if (planned.statusCode !== 200) t.equal(problemSchema.parse(planned.json()).code, code)
      else t.match(movePlanSchema.parse(planned.json()).findings[0], { code, severity: 'blocking' })
      t.equal(planned.statusCode === 200, Object.hasOwn(findingRegistry, code), code)
    }
    t.match((await post('/v1/moves', silo({ region: 'eu' }))).json(), {
      detail: `Tenant ${pinned.slug} is pinned to us; the target lies in eu.`,
      details: { residency: 'us', jurisdiction: 'eu' },
    })
    t.same((await get('/v1/moves')).json(), before)
    const unknown = '00000000-0000-4000-8000-000000000000'
    for (const answer of [
      get(`/v1/moves/${unknown}`),
      get(`/v1/moves/${unknown}/events`),
      post(`/v1/moves/${unknown}/cancel`),
    ]) {
      t.match((await answer).json(), { status: 404, code: 'move_not_found' })
    }
  },
)

t.test('a move is paused, resumed and approved, and says what it waits for', async (t) => {
  const tenant = await newTenant()
  const window = { from: '02:00', to: '04:00', tz: 'Europe/Berlin' }
  const asked = toEu(tenant.slug, { cutover: { approve: true, window }, maxRowsPerSecond: 500, repair: true })
  const { id, ...started } = moveSchema.parse((await post('/v1/moves', asked)).json())
  t.match(started, {
    waiting: null,
    cutover: { approve: true, approvedAt: null, window },
    maxRowsPerSecond: 500,
    repair: true,
  })
  nudged.length = 0
  const paused = await post(`/v1/moves/${id}/pause`)
  t.equal(paused.statusCode, 202)
  t.match(paused.json(), { waiting: { for: 'resume', by: 'test-operator' } })
  await until(() => nudged.includes(id))
  t.match((await post(`/v1/moves/${id}/resume`)).json(), { waiting: null })
  t.match((await post(`/v1/moves/${id}/approve`)).json(), { cutover: { approvedBy: 'test-operator' } })
  t.same(
    moveDetailSchema
      .parse((await get(`/v1/moves/${id}`)).json())
      .events.slice(1)
      .map(({ message }) => message),
    ['Paused by test-operator.', 'Resumed by test-operator.', 'The switch is approved by test-operator.'],
  )
  await abort(id)
  t.match((await post(`/v1/moves/${id}/pause`)).json(), { status: 409, code: 'move_not_pausable' })
  const other = await start(await newTenant())
  t.match((await post(`/v1/moves/${other.id}/approve`)).json(), { code: 'move_needs_no_approval' })
  for (const cutover of [{ window: { from: '2', to: '3' } }, { notBefore: 'tomorrow' }, { soon: true }]) {
    t.match((await post('/v1/moves', toEu(tenant.slug, { cutover }))).json(), { code: 'invalid_request' })
  }
  await abort(other.id)
})

t.test('a cluster is drained, takes nothing new, and takes it again', async (t) => {
  await newTenant()
  for (const [to, code, detail] of [
    [undefined, 'target_not_found', /^Region eu has no other cluster .*: the tenants of eu-1 have nowhere/],
    [{ region: 'mars' }, 'region_not_found', /mars/],
    [{ cluster: 'eu-1' }, 'target_not_found', /^They are to leave it/],
    [{ cluster: 'eu-9' }, 'target_not_found', /eu-9/],
  ] as const) {
    for (const dryRun of [true, false]) {
      const nowhere = (await post('/v1/clusters/eu-1/drain', { to, dryRun })).json()
      t.match(nowhere, { status: 404, code, detail }, 'said once, and nothing is begun')
    }
  }
  const to = { region: 'us' }
  const dry = drainPlanSchema.parse((await post('/v1/clusters/eu-1/drain', { to, dryRun: true })).json())
  t.match(dry, { cluster: 'eu-1', target: to, left: 0, tenants: [] })
  t.match((await get('/v1/clusters/eu-1/evacuation')).json(), { status: 404, code: 'evacuation_not_found' })

  const drained = await post('/v1/clusters/eu-1/drain', { to, maxConcurrent: 3 })
  t.equal(drained.statusCode, 202)
  t.match(evacuationSchema.parse(drained.json()), { target: to, maxConcurrent: 3, left: 0 })
  const back = { to: { cluster: 'eu-1' }, dryRun: true }
  t.match((await post('/v1/clusters/us-1/drain', back)).json(), { status: 409, code: 'cluster_draining' })
  const tenant = await newTenant()
  const onto = { tenant: tenant.slug, target: { isolation: 'silo', cluster: 'eu-1' } }
  t.match((await post('/v1/moves', onto)).json(), { status: 409, code: 'cluster_draining' })
  t.match((await post('/v1/moves', toEu(tenant.slug))).json(), { code: 'target_not_found' })
  t.match((await post('/v1/tenants', { slug: 'x', name: 'X', region: 'eu' })).json(), {
    code: 'pool_not_found',
  })

  const topology = async () => topologySchema.parse((await get('/v1/topology')).json())
  t.ok((await topology()).clusters.find(({ id }) => id === 'eu-1')?.drainingSince)
  t.equal((await post('/v1/clusters/eu-1/undrain')).statusCode, 200)
  t.equal((await topology()).clusters.find(({ id }) => id === 'eu-1')?.drainingSince, null)
  await abort((await start(tenant)).id)

  const limit = (cluster: string, maxMoves: number) =>
    api.app.inject({
      method: 'PATCH',
      url: `/v1/clusters/${cluster}`,
      headers: { authorization },
      payload: { maxMoves },
    })
  t.match((await limit('eu-1', 7)).json(), { clusters: [{ id: 'eu-1', maxMoves: 7 }] })
  t.match((await limit('eu-1', 0)).json(), { code: 'invalid_request' })
  for (const answer of [
    limit('mars-1', 1),
    post('/v1/clusters/mars-1/drain', {}),
    post('/v1/clusters/mars-1/undrain'),
    get('/v1/clusters/mars-1/evacuation'),
  ]) {
    t.match((await answer).json(), { status: 404, code: 'cluster_not_found' })
  }
})

t.end()
