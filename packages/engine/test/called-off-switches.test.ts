import { setTimeout as sleep } from 'node:timers/promises'
import type { ChangeStreamChoice, Move, MoveWait, OperationId, Tenant } from '@freehold/contract'
import { connectClient, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { prepareMovingGround } from '../../../test/kit/moving-ground.ts'

/** Switches that are called off before any writer has to wait, because the target falls behind. */
const ground = await prepareMovingGround()
const { catalog } = ground
t.teardown(() => ground.remove())

const AN_HOUR = 3_600_000
/** However busy the machine is, the target is no further behind than this unless a test has it wait. */
const settings = { maxLagMs: 1_000 }
const ended = (id: OperationId) => ground.ended(id, 400_000)

for (const changeStream of ['logical', 'triggers'] as const) {
  t.test(`a switch that is called off again and again is given up, by ${changeStream}`, async (t) => {
    const { tenant, move, lag } = await prepare(`given-up-${changeStream}`, changeStream)
    const engine = ground.engine({
      settings: { ...settings, maxCutoverAttempts: 3, cutoverBackOff: { firstMs: 1, maxMs: 10 } },
      barrier: async (name) => {
        if (name === 'cutover.entered') await lag.begin()
        if (name === 'ready.entered') await lag.end()
      },
    })
    engine.start()
    const result = await ended(move.id)
    await engine.stop()
    await lag.end()
    t.match(result, {
      phase: 'aborted',
      progress: { cutoverAttempts: 0 },
      error: {
        code: 'cutover_timeout',
        detail: 'Given up after 3 attempts to switch. The target was more than 1000 ms behind the source.',
        details: { tenant: tenant.slug, move: move.id },
      },
    })
    const told = result.events.map(({ message }) => message)
    t.equal(told.filter((message) => message.includes('caught up')).length, 1, 'begun is told once')
    t.equal(told.filter((message) => message.includes('called off')).length, 1, 'called off is told once')
    t.equal((await catalog.tenants.get(tenant.id)).placement.epoch, 1, 'the tenant is where it was')
  })

  t.test(`a target that is stuck keeps no move from being cancelled, by ${changeStream}`, async (t) => {
    const { move, lag } = await prepare(`cut-short-${changeStream}`, changeStream)
    const patient = ground.engine({
      settings: { ...settings, cutoverPatienceMs: AN_HOUR },
      barrier: async (name) => {
        if (name === 'ready.entered') await lag.begin()
      },
    })
    patient.start()
    while (!lag.isOn()) await sleep(20)
    await catalog.operations.requestCancel(move.id)
    t.match(await ended(move.id), { phase: 'aborted', error: { code: 'move_cancelled' } })
    await patient.stop()
    await lag.end()
  })
}

t.test('a move is given up when no moment to switch has come', async (t) => {
  const { move, lag } = await prepare('stuck', 'auto')
  const impatient = ground.engine({
    settings: { ...settings, cutoverPatienceMs: 400 },
    barrier: async (name) => {
      if (name === 'ready.entered') await lag.begin()
    },
  })
  impatient.start()
  const result = await ended(move.id)
  await impatient.stop()
  await lag.end()
  t.match(result, {
    phase: 'aborted',
    error: { code: 'cutover_timeout', detail: /No moment to switch has come for 0.4 s. The target was more/ },
  })
})

t.test('people are heard while a switch waits to be tried again', async (t) => {
  const { tenant, move, lag } = await prepare('waiting', 'auto')
  let callsOff = true
  const options = {
    concurrency: 1,
    settings: { ...settings, cutoverBackOff: { firstMs: AN_HOUR, maxMs: AN_HOUR } },
    barrier: async (name: string) => {
      if (name === 'cutover.entered' && callsOff) {
        callsOff = false
        await lag.begin()
      }
      if (name === 'ready.entered') await lag.end()
    },
  }
  const first = ground.engine(options)
  first.start()
  const told = await retryOf(move.id)
  t.match(told, {
    attempts: 1,
    code: 'switch_called_off',
    reason: 'The target was more than 1000 ms behind the source.',
  })
  t.ok(Date.parse(told.nextAttemptAt) - Date.now() > AN_HOUR / 4, 'the wait is long')

  await catalog.operations.requestPause(move.id, 'ada')
  await passes('past-a-pause', 'a pause is heard: the only place of the worker is left to others')
  callsOff = true
  await catalog.operations.resume(move.id, 'ada')
  await attempted(move.id, 2)

  await orders(move.id, "switch_not_before = clock_timestamp() + interval '1 day'")
  await passes('past-a-window', 'and so is the end of the window')
  await orders(move.id, 'switch_not_before = null')
  t.equal((await ended(move.id)).phase, 'completed')
  t.equal((await catalog.tenants.get(tenant.id)).placement.epoch, 2)
  await first.stop()
  await lag.end()

  async function passes(slug: string, what: string): Promise<void> {
    const other = await ground.startMove(await ground.tenant(slug, 10))
    const result = await ended(other.id)
    t.equal(result.phase, 'completed', what)
  }
})

t.test(
  'a worker that is stopped while a switch waits is followed by one that goes on counting',
  async (t) => {
    const { move, lag } = await prepare('followed', 'auto')
    const options = {
      settings: { ...settings, cutoverBackOff: { firstMs: AN_HOUR, maxMs: AN_HOUR }, maxCutoverAttempts: 2 },
      barrier: async (name: string) => {
        if (name === 'cutover.entered') await lag.begin()
        if (name === 'ready.entered') await lag.end()
      },
    }
    const first = ground.engine(options)
    const run = first.nudge(move.id)
    await attempted(move.id, 1)
    await first.stop()
    await run
    t.match(await catalog.operations.get(move.id), { phase: 'ready', state: { rehearsalsCalledOff: 1 } })

    const second = ground.engine(options)
    second.start()
    t.equal((await retryOf(move.id)).attempts, 1, 'it waits once it has verified again')
    await catalog.operations.requestPause(move.id, 'ada')
    await catalog.operations.resume(move.id, 'ada')
    await orders(move.id, "switch_not_before = clock_timestamp() + interval '1 day'")
    while ((await catalog.moves.get(move.id)).waiting?.for !== 'window') await sleep(20)
    await catalog.operations.requestCancel(move.id)
    t.match(await ended(move.id), { phase: 'aborted', error: { code: 'move_cancelled' } })
    await second.stop()
    await lag.end()
  },
)

/** A move whose target can be made to lag: a change waits there for a lock that the test holds. */
async function prepare(slug: string, changeStream: ChangeStreamChoice) {
  const tenant = await ground.tenant(slug, 20)
  const move = await ground.startMove(tenant, 'eu', changeStream)
  return { tenant, move, lag: lagAt(move, tenant) }
}

function lagAt(move: Move, tenant: Tenant) {
  let release: (() => Promise<void>) | undefined
  return {
    isOn: () => release !== undefined,
    async begin(): Promise<void> {
      if (release !== undefined) return
      const { to } = await catalog.moves.get(move.id)
      const holder = await connectClient(ground.eu.as('freehold_owner', to.database), 'test')
      release = () => holder.end()
      await holder.query('begin; lock table customers in access exclusive mode')
      await withClient(asSuperuser(ground.us.cluster, 'pool'), 'test', (client) =>
        client.query("update customers set name = name || '.' where tenant_id = $1", [tenant.id]),
      )
    },
    async end(): Promise<void> {
      await release?.()
      release = undefined
    },
  }
}

/** Waits until the switch has been called off so often, and waits to be tried again. */
async function attempted(id: OperationId, attempts: number): Promise<void> {
  while ((await retryOf(id)).attempts !== attempts) await sleep(20)
}

async function retryOf(id: OperationId): Promise<Extract<MoveWait, { for: 'retry' }>> {
  for (;;) {
    const { waiting } = await catalog.moves.get(id)
    if (waiting?.for === 'retry' && waiting.code === 'switch_called_off') return waiting
    await sleep(20)
  }
}

/** What was asked of a move, changed behind its back. */
async function orders(id: OperationId, assignment: string): Promise<void> {
  await withClient(ground.us.as('freehold_control', 'freehold_catalog'), 'test', (client) =>
    client.query(`update catalog.operations set ${assignment} where id = $1`, [id]),
  )
}
