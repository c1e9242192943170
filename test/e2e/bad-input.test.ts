import { openCatalog } from '@freehold/catalog'
import {
  clusterIdSchema,
  type ErrorCode,
  errorRegistry,
  jurisdictionSchema,
  moveDetailSchema,
  PROBLEM_CONTENT_TYPE,
  problemSchema,
  regionIdSchema,
} from '@freehold/contract'
import { findFreePort } from '@freehold/local'
import { startTemporaryStack } from '@freehold/local/stack'
import { withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import { ControlClient } from '../kit/control-client.ts'
import { operatorTokens } from '../kit/operator-token.ts'
import { freehold } from './freehold-command.ts'
import { readStackState } from './stack-state.ts'

// Whatever is wrong with a request: it is answered with a problem document that has a stable code and says what to
// do next, by the API and by the command line alike, and nothing has changed.

const stack = await startTemporaryStack('bad-input', { durability: 'fast' })
t.teardown(() => stack.remove())
const url = stack.urls.controlApi
const tokens = await operatorTokens(stack)
const control = new ControlClient(url, tokens.operator)
await registerUselessClusters()
await control.createTenant({ slug: 'acme', name: 'Acme', region: 'us' })
await control.createTenant({ slug: 'umbrella', name: 'Umbrella', region: 'eu', residency: 'eu' })

/** One that is full, in a region of its own, one that nobody runs, and a region without any. */
async function registerUselessClusters(): Promise<void> {
  const address = stack.superuserAddress('us-1', 'freehold_catalog')
  const { topology, close } = openCatalog({ address, applicationName: 'test', max: 1 })
  try {
    const working = await topology.cluster(clusterIdSchema.parse('eu-1'))
    const eu = jurisdictionSchema.parse('eu')
    for (const id of ['eu-full', 'eu-empty']) {
      await topology.registerRegion({ id: regionIdSchema.parse(id), name: id, jurisdiction: eu })
    }
    const full = { ...working, id: clusterIdSchema.parse('full-1'), region: regionIdSchema.parse('eu-full') }
    await topology.registerCluster({ ...full, capacityBytes: 1 })
    const gone = { ...working, id: clusterIdSchema.parse('gone-1'), port: await findFreePort() }
    await topology.registerCluster(gone)
  } finally {
    await close()
  }
}

interface Request {
  readonly method?: string
  readonly path: string
  /** Text is sent as it is, everything else as JSON. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

interface Refusal {
  readonly code: ErrorCode
  /** Part of what it says about this occurrence. */
  readonly says: RegExp
  /** As whom it is asked, if not as an operator; empty: without any token. */
  readonly token?: string
}

interface Mistake extends Refusal {
  /** The same mistake in several requests. */
  readonly requests: readonly Request[]
  /** The same by the command line. */
  readonly command?: readonly string[]
}

/** Makes a mistake in every way that there is, and looks at the answers. Nothing may have changed afterwards. */
function refused(t: Test, mistake: Mistake): Promise<void> {
  return changesNothing(t, async () => {
    for (const request of mistake.requests) await refusedByApi(t, mistake, request)
    if (mistake.command !== undefined) await refusedByCommand(t, mistake, mistake.command)
  })
}

async function changesNothing(t: Test, work: () => Promise<void>): Promise<void> {
  const before = await readStackState(stack)
  await work()
  t.same(await readStackState(stack), before, 'and nothing has changed')
}

async function refusedByApi(t: Test, refusal: Refusal, request: Request): Promise<void> {
  const { code, says, token = tokens.operator } = refusal
  const { method = 'GET', path, body, headers = {} } = request
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
  })
  const problem = problemSchema.parse(await answer.json())
  const { status, title, next } = errorRegistry[code]
  const name = `${code}: ${method} ${path} ${JSON.stringify(body)?.slice(0, 80) ?? ''}`
  t.hasStrict(problem, { code, status, title, next, type: `urn:freehold:error:${code}` }, name)
  const issues = (problem.issues ?? []).map((issue) => `${issue.path} ${issue.message}`)
  t.match([problem.detail, ...issues].join('\n'), says)
  t.equal(answer.status, status)
  t.equal(answer.headers.get('content-type'), PROBLEM_CONTENT_TYPE)
  t.equal(answer.headers.get('x-request-id'), problem.instance, 'it can be found in the log')
}

async function refusedByCommand(t: Test, refusal: Refusal, args: readonly string[]): Promise<void> {
  const { code, token = tokens.operator } = refusal
  const [forPeople, forPrograms] = await Promise.all([
    freehold(args, { url, token }),
    freehold([...args, '--json'], { url, token }),
  ])
  const name = `freehold ${args.join(' ')}`
  t.hasStrict(forPeople, { code: 1, stdout: '' }, name)
  t.ok(forPeople.stderr.startsWith(`Error ${code}: `), forPeople.stderr)
  t.ok(forPeople.stderr.includes(`\nNext: ${errorRegistry[code].next}`))
  t.hasStrict(forPrograms, { code: 1, stdout: '' }, `${name} --json`)
  t.equal(problemSchema.parse(JSON.parse(forPrograms.stderr)).code, code)
}

/** A move to a silo. */
function promotion(tenant: string, target: { region: string } | { cluster: string }) {
  const body = { tenant, target: { isolation: 'silo', ...target } }
  const option = 'region' in target ? ['--region', target.region] : ['--cluster', target.cluster]
  return {
    requests: [{ method: 'POST', path: '/v1/moves', body }],
    command: ['tenants', 'promote', tenant, ...option, '--yes'],
  }
}

const inPool = (sql: string) =>
  withClient(stack.superuserAddress('us-1', 'pool'), 'test', (client) => client.query(sql))

t.test('a token that is none, has expired or allows too little', async (t) => {
  const list = { requests: [{ path: '/v1/tenants' }], command: ['tenants', 'list'] }
  const promote = promotion('acme', { region: 'eu' })
  await refused(t, { code: 'unauthenticated', says: /no valid token/, requests: list.requests, token: '' })
  await refused(t, { code: 'token_malformed', says: /malformed/, ...list, token: 'abc' })
  await refused(t, { code: 'token_malformed', says: /signature/, ...list, token: tokens.forged })
  await refused(t, { code: 'token_malformed', says: /malformed/, ...promote, token: tokens.unsigned })
  await refused(t, { code: 'token_expired', says: /expired/, ...promote, token: tokens.expired })
  await refused(t, { code: 'forbidden', says: /role operator/, ...promote, token: tokens.viewer })
})

t.test('a tenant or a target that does not exist', async (t) => {
  const requests = [{ path: '/v1/tenants/nobody' }, { path: '/v1/moves?tenant=nobody' }]
  const get = ['tenants', 'get', 'nobody']
  await refused(t, { code: 'tenant_not_found', says: /nobody/, requests, command: get })
  await refused(t, { code: 'tenant_not_found', says: /nobody/, ...promotion('nobody', { region: 'eu' }) })
  await refused(t, { code: 'region_not_found', says: /mars/, ...promotion('acme', { region: 'mars' }) })
  await refused(t, { code: 'target_not_found', says: /mars-1/, ...promotion('acme', { cluster: 'mars-1' }) })
  await refused(t, {
    code: 'target_not_found',
    says: /eu-empty/,
    ...promotion('acme', { region: 'eu-empty' }),
  })
})

t.test('a target without room, and one that cannot be reached', async (t) => {
  for (const target of [{ cluster: 'full-1' }, { region: 'eu-full' }]) {
    await refused(t, {
      code: 'target_without_room',
      says: /full-1 has 0 of 1 left/,
      ...promotion('acme', target),
    })
  }
  const toGone = promotion('acme', { cluster: 'gone-1' })
  await refused(t, { code: 'target_unreachable', says: /does not answer/, ...toGone })
})

t.test('a target outside the jurisdiction to which the tenant is pinned', async (t) => {
  for (const target of [{ cluster: 'us-1' }, { region: 'us' }]) {
    const pinned = promotion('umbrella', target)
    await refused(t, { code: 'residency_violation', says: /pinned to eu; .* lies in us/, ...pinned })
  }
  await refused(t, {
    code: 'residency_violation',
    says: /pinned to eu; .* lies in us/,
    requests: [
      {
        method: 'POST',
        path: '/v1/tenants',
        body: { slug: 'stray', name: 'Stray', region: 'us', residency: 'eu' },
      },
    ],
    command: ['tenants', 'create', 'stray', '--region', 'us', '--residency', 'eu'],
  })
})

t.test('tables that cannot be moved without losing or exposing rows', async (t) => {
  const promote = promotion('acme', { region: 'eu' })
  await inPool('create table public.notes (tenant_id uuid not null, body text)')
  await inPool("select freehold.protect_table('public.notes')")
  await refused(t, { code: 'table_without_primary_key', says: /notes has no primary key/, ...promote })
  await inPool("delete from freehold.managed_table where relation = 'public.notes'::regclass")
  await inPool('drop table public.notes')

  await inPool('create table public.countries (code text primary key)')
  const undeclared = { code: 'table_without_tenant_column', says: /countries is declared neither/ } as const
  await refused(t, { ...undeclared, ...promote })
  await inPool('drop table public.countries')

  await inPool('alter table public.orders no force row level security')
  await refused(t, { code: 'table_not_protected', says: /orders or one of its partitions/, ...promote })
  await inPool('alter table public.orders force row level security')
})

t.test('a second move of a tenant that is being moved', async (t) => {
  // Without a worker the move stays where it is.
  await stack.worker.stop()
  const { id } = await control.startMove({ tenant: 'acme', target: { isolation: 'silo', region: 'eu' } })
  for (const target of [{ region: 'eu' }, { cluster: 'us-1' }]) {
    await refused(t, {
      code: 'tenant_moving',
      says: /acme is being moved already/,
      ...promotion('acme', target),
    })
  }
  await stack.worker.restart()
  const watched = await freehold(['moves', 'watch', id], { url, token: tokens.operator })
  t.match(watched, { code: 0, stderr: '' }, 'the first one has not noticed')
  const again = promotion('acme', { cluster: 'eu-1' })
  await refused(t, { code: 'target_is_home', says: /lives on eu-1 as silo already/, ...again })
  await refused(t, {
    code: 'move_not_cancellable',
    says: /./,
    requests: [{ method: 'POST', path: `/v1/moves/${id}/cancel` }],
    command: ['moves', 'cancel', id],
  })
})

t.test('bodies, names and parameters that are not what they should be', async (t) => {
  const drop = "x'; drop table catalog.tenants; --"
  const create = (body: unknown, headers = {}) => ({ method: 'POST', path: '/v1/tenants', body, headers })
  const move = (body: unknown) => ({ method: 'POST', path: '/v1/moves', body })
  const good = { slug: 'good', name: 'Good', region: 'us' }
  const target = { isolation: 'silo', region: 'eu' }
  const invalid: readonly (readonly [RegExp, Request])[] = [
    [/body is not valid JSON/, create('{"slug": "go')],
    [/body is not valid JSON/, create('{"slug": "good", "__proto__": {"name": "x"}}')],
    [/body is empty/, create('')],
    [/body is too large/, create({ ...good, name: 'x'.repeat(70_000) })],
    [
      /content-type must be application\/json/,
      create('slug=good', { 'content-type': 'application/x-www-form-urlencoded' }),
    ],
    [/idempotency-key .*200/, create(good, { 'idempotency-key': 'k'.repeat(201) })],
    [/body\/ .*expected object/, create(null)],
    [/body\/ .*expected object/, create([good])],
    [/body\/slug must be/, create({ ...good, slug: drop })],
    [/body\/slug must be/, create({ ...good, slug: 'UPPER' })],
    [/body\/slug .*expected string/, create({ ...good, slug: { toString: 1 } })],
    [/body\/name must be text/, create({ ...good, name: 'a\0b' })],
    [/body\/name must be text/, create({ ...good, name: 'half a pair: \ud800' })],
    [/body\/name must not be empty/, create({ ...good, name: ' \n ' })],
    [/body\/region must be/, create({ ...good, region: drop })],
    [/body\/residency must be/, create({ ...good, residency: drop })],
    [/Unrecognized key: "status"/, create({ ...good, status: 'suspended' })],
    [/body\/target .*expected object/, move({ tenant: 'acme' })],
    [/name either a region or a cluster/, move({ tenant: 'acme', target: { isolation: 'silo' } })],
    [/name either a region or a cluster/, move({ tenant: 'acme', target: { ...target, cluster: 'eu-1' } })],
    [/body\/target\/isolation/, move({ tenant: 'acme', target: { ...target, isolation: 'island' } })],
    [/body\/target\/region must be/, move({ tenant: 'acme', target: { ...target, region: drop } })],
    [/Unrecognized key: "dryRun"/, move({ tenant: 'acme', target, dryRun: true })],
    [/name either a region or a cluster/, { path: '/v1/moves/plan?tenant=acme&isolation=silo' }],
    [
      /querystring\/region must be/,
      { path: `/v1/moves/plan?tenant=acme&isolation=silo&region=${encodeURIComponent(drop)}` },
    ],
    [/body\/tenant must be text/, move({ tenant: '\0', target })],
    [/params\/tenant must be text/, { path: '/v1/tenants/%00' }],
    [/querystring\/search must be text/, { path: '/v1/tenants?search=%00' }],
    [/querystring\/limit/, { path: '/v1/tenants?limit=-1' }],
    [/querystring\/cursor/, { path: `/v1/moves?cursor=${encodeURIComponent(drop)}` }],
    [/Unrecognized key: "order"/, { path: '/v1/moves?order=id;drop' }],
    [/params\/id/, { path: '/v1/moves/1%20or%201=1' }],
    [
      /headers\/last-event-id/,
      { path: `/v1/moves/${crypto.randomUUID()}/events`, headers: { 'last-event-id': 'x' } },
    ],
    [/url is not a valid URL/, { path: '/v1/tenants/%E0%A4%A' }],
  ]
  await changesNothing(t, async () => {
    for (const [says, request] of invalid) {
      await refusedByApi(t, { code: 'invalid_request', says }, request)
    }
  })
  const named = (code: ErrorCode, says: RegExp, ...requests: Request[]) =>
    refused(t, { code, says, requests })
  await named('tenant_not_found', /drop table/, { path: `/v1/tenants/${encodeURIComponent(drop)}` })
  await named('tenant_not_found', /drop table/, move({ tenant: drop, target }))
  await named('tenant_slug_taken', /acme/, create({ ...good, slug: 'acme' }))
  await named('region_not_found', /mars/, create({ ...good, region: 'mars' }))
  await named('tier_not_found', /gold/, create({ ...good, tier: 'gold' }))
  await named('pool_not_found', /eu-full/, create({ ...good, region: 'eu-full' }))
  await named('move_not_found', /./, { path: `/v1/moves/${crypto.randomUUID()}` })
  await named('route_not_found', /DELETE/, { method: 'DELETE', path: '/v1/tenants/acme' })
  await refused(t, {
    code: 'invalid_request',
    says: /body\/slug must be/,
    requests: [create({ ...good, slug: drop })],
    command: ['tenants', 'create', drop, '--region', 'us'],
  })
})

t.test('a command line that is not understood sends nothing', async (t) => {
  await changesNothing(t, async () => {
    for (const args of [
      ['tenants', 'promote', 'umbrella'],
      ['tenants', 'promote', 'umbrella', '--region', 'eu', '--cluster', 'eu-1', '--yes'],
      ['moves', 'get', '1 or 1=1'],
    ]) {
      t.match(await freehold(args, { url, token: tokens.operator }), { code: 2, stdout: '' }, args.join(' '))
    }
  })
})

t.test('a good request is answered after all that as before', async (t) => {
  const move = await control.startMove({ tenant: 'umbrella', target: { isolation: 'silo', region: 'eu' } })
  const ended = await freehold(['moves', 'watch', move.id, '--json'], { url, token: tokens.operator })
  t.equal(ended.code, 0)
  const detail = await freehold(['moves', 'get', move.id, '--json'], { url, token: tokens.viewer })
  t.match(moveDetailSchema.parse(JSON.parse(detail.stdout)), { phase: 'completed', to: { cluster: 'eu-1' } })
})
