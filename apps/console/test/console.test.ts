import {
  defaultIsolation,
  type MoveEvent,
  type MovePhase,
  moveEventSchema,
  problemSchema,
  relocationKind,
  tenantSchema,
  topologySchema,
} from '@freehold/contract'
import t from 'tap'
import { localProblem } from '../src/api/problem-error.ts'
import { formatBytes } from '../src/format/bytes.ts'
import { formatMilliseconds, formatSeconds } from '../src/format/duration.ts'
import { formatCount, formatQuantity, percentage } from '../src/format/number.ts'
import { formatRelative } from '../src/format/time.ts'
import { phaseSteps } from '../src/move/phase-steps.ts'
import { inspectToken } from '../src/session/operator-token.ts'
import { type RegionChoices, targetChoices } from '../src/tenant/target-choices.ts'
import { emptyDraft, problemErrors, readDraft } from '../src/tenant/tenant-draft.ts'

t.test('numbers are written for people', async (t) => {
  t.equal(formatCount(200_000), '200,000')
  t.equal(formatQuantity(1, 'table'), '1 table')
  t.equal(formatQuantity(0, 'table'), '0 tables')
  t.same([0, 999, 999_499, 999_500, 40_230_000, 5e15].map(formatBytes), [
    '0 B',
    '999 B',
    '999 kB',
    '1 MB',
    '40.2 MB',
    '5 PB',
  ])
  t.same([0, 0.4312, 12.44, 999.4, 999.6, 61_000].map(formatMilliseconds), [
    '0 ms',
    '0.431 ms',
    '12.4 ms',
    '999 ms',
    '1 s',
    '1 min 1 s',
  ])
  t.same([0.84, 0.9996, 2.31, 9.96, 59.7, 200, 3600, 7500].map(formatSeconds), [
    '840 ms',
    '1 s',
    '2.3 s',
    '10 s',
    '1 min',
    '3 min 20 s',
    '1 h',
    '2 h 5 min',
  ])
  t.same([percentage(1, 3), percentage(5, 0), percentage(9, 3), percentage(999, 1000)], [33, 0, 100, 99])
})

t.test('times are told from now', async (t) => {
  const now = Date.parse('2026-11-21T12:00:00Z')
  const told = (instant: string) => formatRelative(instant, now)
  t.equal(told('2026-11-21T12:00:01Z'), 'just now', 'clocks differ')
  t.equal(told('2026-11-21T11:59:20Z'), '40 seconds ago')
  t.equal(told('2026-11-21T09:10:00Z'), '2 hours ago')
  t.equal(told('2026-11-19T12:00:00Z'), '2 days ago')
  t.equal(told('2024-11-01T12:00:00Z'), '2 years ago')
})

function token(claims: unknown): string {
  return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`
}

t.test('a pasted token is looked at before it is sent', async (t) => {
  const good = token({ sub: 'é', exp: 100 })
  t.equal(inspectToken(` Bearer ${good}\n`, 99_999).token, good)
  t.equal(inspectToken(token({ sub: 'a' }), 0).token, token({ sub: 'a' }), 'one without expiry')
  t.equal(inspectToken(good, 100_000).problem?.code, 'token_expired')
  for (const bad of [
    '',
    'abc',
    'a.b',
    'a.b.c.d',
    'a.%.c',
    `${good}.x`,
    token([1]),
    'e30.e30.',
    token({ exp: 'x' }),
  ]) {
    t.equal(inspectToken(bad, 0).problem?.code, 'token_malformed', bad)
  }
})

function timeline(...phases: MovePhase[]): MoveEvent[] {
  return phases.map((phase, second) =>
    moveEventSchema.parse({
      sequence: second + 1,
      at: new Date(second * 1000).toISOString(),
      phase,
      message: phase,
    }),
  )
}

t.test('an undisturbed move shows all of its phases, with the time that each took', async (t) => {
  const steps = phaseSteps(
    'backfill',
    timeline('planned', 'provisioning', 'provisioning', 'dual_write', 'backfill'),
  )
  t.equal(steps.length, 10)
  t.same(steps.slice(0, 5), [
    { phase: 'planned', state: 'done', seconds: 1 },
    { phase: 'provisioning', state: 'done', seconds: 2 },
    { phase: 'dual_write', state: 'done', seconds: 1 },
    { phase: 'backfill', state: 'current', seconds: null },
    { phase: 'verify', state: 'upcoming', seconds: null },
  ])
  t.ok(phaseSteps('completed', []).every((step) => step.state === 'done'))
})

t.test('a move that is rolled back shows where it was, and where it goes', async (t) => {
  const shown = phaseSteps('rolling_back', timeline('planned', 'cutover', 'soak', 'rolling_back'))
  t.same(
    shown.slice(-4).map((step) => `${step.phase} ${step.state}`),
    ['cutover done', 'soak done', 'rolling_back current', 'rolled_back upcoming'],
  )
})

t.test('an aborted move shows how far it came', async (t) => {
  const shown = (phase: MovePhase, ...events: MovePhase[]) =>
    phaseSteps(phase, timeline(...events)).map((step) => `${step.phase} ${step.state}`)
  t.same(shown('aborting', 'planned', 'provisioning', 'aborting'), [
    'planned done',
    'provisioning failed',
    'aborting current',
    'aborted upcoming',
  ])
  t.same(shown('aborted', 'planned', 'aborting', 'aborted'), [
    'planned failed',
    'aborting done',
    'aborted failed',
  ])
  t.same(shown('aborted'), ['planned failed', 'aborting done', 'aborted failed'], 'without a timeline')
})

const UNLIMITED = { capacityBytes: null, maxMoves: 4, movesUnderWay: 0, drainingSince: null }
const topology = topologySchema.parse({
  regions: [
    { id: 'us', jurisdiction: 'us', name: 'United States' },
    { id: 'eu', jurisdiction: 'eu', name: 'Europe' },
    { id: 'eu-north', jurisdiction: 'eu', name: 'Northern Europe' },
  ],
  clusters: [
    { id: 'us-1', region: 'us', jurisdiction: 'us', pools: ['pool'], silos: 0, ...UNLIMITED },
    { id: 'eu-1', region: 'eu', jurisdiction: 'eu', pools: ['pool'], silos: 2, ...UNLIMITED },
  ],
  tiers: [{ id: 'pro', name: 'Pro', isolation: 'pool' }],
})

const tenant = tenantSchema.parse({
  id: '6f1d4f0e-3a51-4c55-9b0c-0d2d3c1f8a11',
  slug: 'acme',
  name: 'Acme',
  tier: 'pro',
  status: 'active',
  residency: 'eu',
  placement: {
    isolation: 'silo',
    region: 'eu',
    jurisdiction: 'eu',
    cluster: 'eu-1',
    dataDatabaseId: '0b9a2c8e-58cf-4a1d-8a43-5a1d2f6a7c22',
    database: 'silo_acme',
    schema: 'app',
    epoch: 2,
  },
  activeMoveId: null,
  createdAt: '2026-11-21T12:00:00Z',
})

t.test('targets that would be refused stay visible and say with which code', async (t) => {
  const refusals = (residency: typeof tenant.residency) =>
    refusalsOf(targetChoices(topology, { ...tenant, residency }, 'silo'))
  t.same(refusals(tenant.residency), {
    'region:us': 'residency_violation',
    'cluster:us-1': 'residency_violation',
    'region:eu': undefined,
    'cluster:eu-1': 'target_is_home',
    'region:eu-north': 'target_not_found',
  })
  t.same(refusals(null)['region:us'], undefined)
})

/** The code with which each target would be refused, if it would. */
const refusalsOf = (regions: readonly RegionChoices[]) =>
  Object.fromEntries(
    regions.flatMap(({ choices }) => choices).map(({ value, refusal }) => [value, refusal?.split(':')[0]]),
  )

t.test('a pool or a schema needs a pool that there is, and one of several may be named', async (t) => {
  const [us, eu] = topology.clusters
  if (us === undefined || eu === undefined) throw new Error('no clusters')
  const drainingSince = '2026-11-21T12:00:00Z'
  const placement = { ...tenant.placement, isolation: 'pool' as const, database: 'pool' }
  const mover = { placement, residency: null }
  const clusters = [
    { ...us, pools: [] },
    { ...eu, pools: ['pool2', 'pool'] },
  ]
  t.same(refusalsOf(targetChoices({ ...topology, clusters }, mover, 'pool')), {
    'region:us': 'pool_not_found',
    'cluster:us-1': 'pool_not_found',
    'region:eu': undefined,
    'cluster:eu-1': undefined,
    'pool:eu-1/pool2': undefined,
    'pool:eu-1/pool': 'target_is_home',
    'region:eu-north': 'target_not_found',
  })
  t.same(
    targetChoices({ ...topology, clusters }, mover, 'schema')
      .flatMap(({ choices }) => choices)
      .find(({ value }) => value === 'pool:eu-1/pool'),
    {
      value: 'pool:eu-1/pool',
      label: 'Pool pool on eu-1',
      description: 'This pool and no other',
      target: { isolation: 'schema', cluster: 'eu-1', database: 'pool' },
      refusal: null,
    },
  )
  const draining = [us, { ...eu, drainingSince }]
  t.match(refusalsOf(targetChoices({ ...topology, clusters: draining }, mover, 'schema')), {
    'region:eu': 'target_not_found',
    'cluster:eu-1': 'cluster_draining',
    'region:us': undefined,
  })
})

t.test('a promotion leads to what the tier has, where that is more than there is', async (t) => {
  t.same(
    (['pool', 'schema', 'silo'] as const).map((now) =>
      (['pool', 'schema', 'silo'] as const).map((ofTier) => defaultIsolation('promotion', now, ofTier)),
    ),
    [
      ['silo', 'schema', 'silo'],
      ['silo', 'silo', 'silo'],
      ['silo', 'silo', 'silo'],
    ],
  )
  t.equal(defaultIsolation('demotion', 'silo', 'schema'), 'schema')
  t.equal(defaultIsolation('demotion', 'schema', 'silo'), 'pool')
  t.equal(relocationKind('schema', 'schema'), 'relocation')
})

t.test('a draft of a tenant becomes a request, or says which field is wrong', async (t) => {
  const draft = { ...emptyDraft(topology), slug: 'acme', name: ' Acme ' }
  t.match(readDraft(draft, topology), {
    request: { slug: 'acme', name: 'Acme', tier: 'pro', region: 'us', residency: null },
  })
  t.match(readDraft({ ...draft, slug: 'A b', name: ' ' }, topology), {
    errors: { slug: /lower-case/, name: 'must not be empty' },
  })
  t.match(readDraft({ ...draft, residency: 'eu' }, topology), {
    errors: { residency: /^residency_violation: .* Region us lies in us\.$/ },
  })
})

t.test('the problem of the server stands at the field that it is about', async (t) => {
  t.match(problemErrors(localProblem('tenant_slug_taken', 'Taken.')), { slug: /^tenant_slug_taken: Taken\./ })
  const invalid = problemSchema.parse({
    ...localProblem('invalid_request', 'Wrong.'),
    issues: [
      { path: 'body/name', message: 'too long' },
      { path: 'body/colour', message: 'unknown' },
    ],
  })
  t.same(problemErrors(invalid), { name: 'too long' })
  t.same(problemErrors(localProblem('catalog_unavailable', 'Away.')), {})
})
