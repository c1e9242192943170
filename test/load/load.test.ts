import { setTimeout as sleep } from 'node:timers/promises'
import { withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { prepareMovingGround } from '../kit/moving-ground.ts'
import { productToken, startProductApi } from '../kit/product-api.ts'
import {
  type Load,
  type LoadedTenant,
  type LoadOptions,
  type LoadReport,
  type ProofReport,
  seedTenant,
  spawnLoad,
  startLoad,
} from './index.ts'
import { longestGap } from './measure/pause.ts'
import { type Meddle, startMeddlingProxy } from './meddling-proxy.ts'

const ground = await prepareMovingGround()
const api = await startProductApi(ground.us.as('freehold_reader', 'freehold_catalog'))
t.teardown(async () => {
  await api.close()
  await ground.remove()
})

const pool = asSuperuser(ground.us.cluster, 'pool')
let tenants = 0

/** A loaded tenant for one test, after which none of its rows is left: to a later proof they would be foreign. */
async function loadedTenant(test: Test, clients = 3): Promise<LoadedTenant> {
  const { id } = await ground.tenant(`tenant-${++tenants}`, 0)
  const seed = { rows: 300, seed: tenants }
  await seedTenant({ database: pool, tenantId: id, plan: seed })
  test.teardown(() =>
    withClient(pool, 'test', async (client) => {
      for (const table of ['order_events', 'order_lines', 'orders', 'products', 'customers']) {
        await client.query(`delete from ${table} where tenant_id = $1`, [id])
      }
    }),
  )
  return { id, token: productToken({ tenant: id }), seed, clients }
}

/** Lets clients work on a tenant through a proxy for a while, and proves what they were told. */
async function meddled(
  test: Test,
  tenant: LoadedTenant,
  meddle: Meddle,
  done: (load: Load) => Promise<boolean>,
): Promise<LoadReport & { readonly proof: ProofReport }> {
  const proxy = await startMeddlingProxy(api.baseUrl, meddle)
  test.teardown(() => proxy.close())
  const load = startLoad({ baseUrl: proxy.baseUrl, tenants: [tenant], seed: 1, writeShare: 0.7 })
  const deadline = performance.now() + 60_000
  while (!(await done(load)) && performance.now() < deadline) await sleep(20)
  const report = await load.stop()
  return { ...report, proof: await load.prove({ homes: [{ tenantId: tenant.id, database: pool }] }) }
}

const requests = (count: number) => async (load: Load) => (await load.progress()).requests >= count

for (const [where, start] of [
  ['in this process', async (options: LoadOptions) => startLoad(options)],
  ['in a process of its own', spawnLoad],
] as const) {
  t.test(`drives tenants and proves their rows, ${where}`, async (t) => {
    const subjects = [await loadedTenant(t, 4), await loadedTenant(t, 1)]
    const load = await start({ baseUrl: api.baseUrl, tenants: subjects, seed: 1 })
    t.teardown(() => load.close())
    const from = Date.now()
    while ((await load.progress()).requests < 600) await sleep(50)
    const window = { from, to: Date.now() }
    const report = await load.stop()

    t.match(report, { failed: 0, mismatches: 0, foreignRows: 0, uncertainWrites: 0, failures: [] })
    t.same(report.mismatchSamples, [])
    t.ok(report.requests >= 600)
    t.ok(report.writesAcknowledged > 200 && report.writesAcknowledged < 400, 'half of the requests write')
    const { read, write, transaction } = report.latencies
    t.equal(read.count + write.count + transaction.count, report.requests)
    t.ok(transaction.count > 0 && read.p50Ms > 0 && read.p50Ms <= read.p99Ms && read.p99Ms <= read.maxMs)
    const pause = await load.pause(subjects[0]?.id ?? '', window)
    t.ok(pause.writePauseMs > 0 && pause.readPauseMs > 0)

    const homes = subjects.map(({ id }) => ({ tenantId: id, database: pool }))
    const proof = await load.prove({ homes })
    t.match(proof, { ok: true, samples: [], uncertain: { applied: 0, notApplied: 0 } })
    t.ok(proof.rows > 600, 'the loaded rows and new ones')
    t.same(await load.stop(), report, 'stopping twice is stopping once')
  })
}

t.test('keeps to a number of requests per second', async (t) => {
  const tenant = await loadedTenant(t, 4)
  const load = startLoad({ baseUrl: api.baseUrl, tenants: [tenant], seed: 1, requestsPerSecond: 50 })
  await sleep(2_000)
  const { rps, failed } = await load.stop()
  t.equal(failed, 0)
  t.ok(rps > 15 && rps < 60, `${rps}`)
})

t.test('notices a server that acknowledges deletions and does not carry them out', async (t) => {
  const swallow: Meddle = async (request, forward) =>
    request.method === 'DELETE' ? { status: 204, body: '' } : forward()
  const { failures, proof } = await meddled(t, await loadedTenant(t), swallow, requests(400))
  t.ok(proof.writesLost > 0)
  t.match(proof, { ok: false, writesDuplicated: 0, rowsWrong: 0, foreignRows: 0 })
  t.match(failures[0], { kind: 'read deleted', reason: /^200/ }, 'already while it reads')
})

t.test('notices a server that carries a change out twice', async (t) => {
  const twice: Meddle = async (request, forward) => {
    const answer = await forward()
    if (request.method === 'PATCH' && request.path.startsWith('/products')) await forward()
    return answer
  }
  const { mismatches, proof } = await meddled(t, await loadedTenant(t), twice, requests(300))
  t.ok(mismatches > 0, 'already while it reads')
  t.ok(proof.rowsWrong > 0)
  t.match(proof, { ok: false, writesLost: 0, writesDuplicated: 0, foreignRows: 0 })
})

t.test('notices an answer with the rows of another tenant', async (t) => {
  const other = await loadedTenant(t)
  const confuse: Meddle = async ({ path }, forward) =>
    forward(path.startsWith('/products?') ? { authorization: `Bearer ${other.token}` } : {})
  const report = await meddled(
    t,
    await loadedTenant(t),
    confuse,
    async (load) => (await load.progress()).mismatches > 0,
  )
  t.ok(report.foreignRows > 0)
})

t.test('leaves open what it cannot know, counts it as failed, and settles it by the proof', async (t) => {
  let writes = 0
  const breaking: Meddle = async ({ method }, forward) => {
    if (method === 'GET') return forward()
    writes++
    if (writes % 10 === 0) return undefined
    const answer = await forward()
    return writes % 10 === 5 ? undefined : answer
  }
  const report = await meddled(t, await loadedTenant(t), breaking, requests(400))
  t.ok(report.failed > 10)
  t.equal(report.uncertainWrites, report.failed)
  t.equal(report.mismatches, 0)
  t.match(report.failures[0], { reason: 'UND_ERR_SOCKET' })
  t.match(report.proof, { ok: true, samples: [] })
  t.ok(report.proof.uncertain.applied > 0 && report.proof.uncertain.notApplied > 0)
})

/** Longer than a busy machine keeps anybody waiting. */
const HELD_MS = 2_000
/** Writes that the gate let through may be acknowledged this long after it has closed. */
const UNDER_WAY_MS = 500

t.test('measures the pause of one tenant’s writes, and that its reads had none', async (t) => {
  const [paused, other] = [await loadedTenant(t, 4), await loadedTenant(t, 4)]
  let opened: Promise<void> | undefined
  const hold: Meddle = async ({ method, authorization }, forward) => {
    if (method !== 'GET' && authorization.includes(paused.token)) await opened
    return forward()
  }
  const proxy = await startMeddlingProxy(api.baseUrl, hold)
  t.teardown(() => proxy.close())
  // Few of the requests write, so that some clients are left to read.
  const clients = [paused, other].map((tenant) => ({ ...tenant, clients: 40 }))
  const load = startLoad({ baseUrl: proxy.baseUrl, tenants: clients, seed: 1, writeShare: 0.05 })
  await sleep(700)
  const from = Date.now()
  opened = sleep(HELD_MS)
  await opened
  const window = { from, to: Date.now() }
  await sleep(500)
  t.equal((await load.stop()).failed, 0)
  const [pause, others] = [await load.pause(paused.id, window), await load.pause(other.id, window)]
  const held = HELD_MS - UNDER_WAY_MS
  t.ok(pause.writePauseMs >= held, `${pause.writePauseMs}`)
  t.ok(pause.readPauseMs < held, `${pause.readPauseMs}`)
  t.ok(others.writePauseMs < held, `${others.writePauseMs}`)
})

t.test('a pause is the longest time between acknowledgements that touches the window', async (t) => {
  const load = { from: 0, to: 1000 }
  const gap = (instants: number[], from: number, to: number) => longestGap(instants, load, { from, to })
  t.equal(gap([100, 200, 500, 600], 250, 300), 300, 'the window lies inside the gap')
  t.equal(gap([100, 200, 500, 600], 450, 550), 300, 'the window ends after the gap')
  t.equal(gap([100, 200, 500, 600], 510, 550), 100, 'the longer gap lies before')
  t.equal(gap([100], 500, 500), 900, 'from the last acknowledgement to the end')
  t.equal(gap([], 0, 10), 1000, 'none at all')
})
