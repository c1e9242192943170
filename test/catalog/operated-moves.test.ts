import { setTimeout as sleep } from 'node:timers/promises'
import type { Lease } from '@freehold/catalog'
import { type MovePhase, type OperationId, switchConditionsSchema } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { prepareRecordedMoves } from '../kit/recorded-moves.ts'

const LONG = 60_000
const ground = await prepareRecordedMoves('operated')
t.teardown(() => ground.remove())
const { server, catalog, other, us, eu } = ground
const { operations } = catalog
const newMove = ground.move

async function claim(id: OperationId, by = catalog): Promise<Lease | undefined> {
  const claimed = await by.operations.claim(id, 'worker', LONG)
  return claimed === null ? undefined : { id, token: claimed.fencingToken }
}

async function begin(id: OperationId): Promise<Lease> {
  const lease = await claim(id)
  if (lease === undefined) throw new Error('not claimed')
  return lease
}

async function end(...leases: readonly Lease[]): Promise<void> {
  for (const lease of leases) {
    const { phase } = await operations.get(lease.id)
    await advance(lease, phase, 'aborting')
    await advance(lease, 'aborting', 'aborted')
  }
}

const advance = (lease: Lease, fromPhase: MovePhase, toPhase: MovePhase) =>
  operations.advance({ ...lease, fromPhase, toPhase, state: { version: 1 }, message: `${toPhase}.` })

t.test('two workers that begin moves at once begin no more than a cluster may have', async (t) => {
  await catalog.topology.limitMoves(eu.cluster, 3)
  const ids = await Promise.all(Array.from({ length: 8 }, () => newMove()))
  const claims = await Promise.all(
    ids.flatMap((id) => [claim(id), claim(id, other), claim(id), claim(id, other)]),
  )
  const held = claims.filter((lease) => lease !== undefined)
  t.ok(held.length <= 3)
  for (const id of await operations.due(100)) held.push(await begin(id))
  t.equal(held.length, 3)
  t.same(await operations.due(100), [])
  const topology = await catalog.topology.read()
  t.match(
    topology.clusters.find(({ id }) => id === eu.cluster),
    { maxMoves: 3, movesUnderWay: 3 },
  )

  const waiting = ids.filter((id) => !held.some((lease) => lease.id === id))
  const places = await Promise.all(waiting.map(async (id) => (await catalog.moves.get(id)).waiting))
  t.same(
    places.map((wait) => wait?.for === 'line' && wait.place).toSorted(),
    [1, 2, 3, 4, 5],
    'the others are shown their place in line',
  )
  t.match(places[0], { for: 'line', cluster: eu.cluster, underWay: 3, limit: 3 })

  const [first, second] = held
  if (first === undefined || second === undefined) throw new Error('none begun')
  await advance(first, 'planned', 'provisioning')
  await operations.release(first, LONG, {
    code: 'source_unreachable',
    message: 'Nobody answers.',
    passing: true,
  })
  t.same(await operations.due(100), [], 'one that waits for its next attempt has begun all the same')
  t.match((await catalog.moves.get(first.id)).waiting, {
    for: 'retry',
    attempts: 1,
    code: 'source_unreachable',
    reason: 'Nobody answers.',
  })
  await operations.release(second, LONG, {
    code: 'target_unreachable',
    message: 'Nobody answers.',
    passing: true,
  })
  t.equal((await operations.due(100)).length, 1, 'one that has made nothing yet leaves its place')
  await withClient(server.as('freehold_control', 'freehold_catalog'), 'test', (client) =>
    client.query(
      "update catalog.operations set run_after = clock_timestamp(), lease_expires_at = null, lease_owner = null where phase in ('planned', 'provisioning')",
    ),
  )
  for (const { cluster } of [us, eu]) await catalog.topology.limitMoves(cluster, 1_000)
  await end(...(await Promise.all(ids.map(begin))))
})

t.test('a worker that counts waits for one that is just beginning a move', async (t) => {
  await catalog.topology.limitMoves(eu.cluster, 1)
  // The second goes before the first, so that it is next for whoever does not see the first begin.
  const first = await newMove({ terms: { evacuation: await openEvacuation() } })
  const second = await newMove()
  await withClient(server.as('freehold_control', 'freehold_catalog'), 'slow', async (slow) => {
    await slow.query('begin')
    await slow.query('select from catalog.clusters order by id for no key update')
    await slow.query(
      `update catalog.operations set lease_owner = 'slow', lease_expires_at = clock_timestamp(),
         fencing_token = fencing_token + 1 where id = $1`,
      [first],
    )
    const claiming = claim(second)
    await Promise.race([claiming, sleep(300)])
    await slow.query('commit')
    t.equal(await claiming, undefined)
  })
  const lease = await begin(first)
  t.equal(await claim(second), undefined)
  await end(lease)
  await end(await begin(second))
  await catalog.topology.limitMoves(eu.cluster, 1_000)
})

t.test('a move started by hand goes before those of an evacuation, and both in order', async (t) => {
  await catalog.topology.limitMoves(us.cluster, 1)
  const running = await begin(await newMove())
  const evacuation = await openEvacuation()
  const ids = [
    await newMove({ terms: { evacuation } }),
    await newMove({ terms: { evacuation } }),
    await newMove(),
    await newMove(),
  ]
  const [paused] = ids.splice(2, 1, await newMove())
  if (paused === undefined) throw new Error('no move')
  await operations.requestPause(paused, 'ada')
  t.equal(await claim(ids[3] ?? paused), undefined)
  await end(running)
  const begun: OperationId[] = []
  for (let round = 0; round < 4; round++) {
    const [next, ...more] = await operations.due(100)
    t.same(more, [], 'one at a time')
    if (next === undefined) break
    for (const id of ids) if (id !== next) t.equal(await claim(id), undefined, 'nobody jumps the line')
    begun.push(next)
    await end(await begin(next))
  }
  t.same(begun, [ids[3], ids[2], ids[0], ids[1]])

  t.equal(await claim(paused), undefined, 'a paused move is not begun')
  t.match((await catalog.moves.get(paused)).waiting, { for: 'resume', by: 'ada' })
  await operations.requestCancel(paused)
  t.same(await operations.due(100), [paused], 'but it can be given up')
  await end(await begin(paused))
  await catalog.topology.limitMoves(us.cluster, 1_000)
})

t.test('a pause and the switch exclude each other', async (t) => {
  const id = await newMove()
  const lease = await begin(id)
  t.match(await operations.requestPause(id, 'ada'), { pausedBy: 'ada' })
  t.match(await operations.requestPause(id, 'eve'), { pausedBy: 'ada' }, 'twice is once')
  t.match(await operations.renewLease(lease, LONG), { paused: true, maySwitch: false })
  t.equal(await operations.intendSwitch(lease, {}), false)
  await operations.resume(id, 'eve')
  await operations.resume(id, 'eve')
  t.equal(await operations.intendSwitch(lease, {}), true)
  for (const [from, to] of [
    ['planned', 'provisioning'],
    ['provisioning', 'dual_write'],
    ['dual_write', 'backfill'],
    ['backfill', 'verify'],
    ['verify', 'ready'],
    ['ready', 'cutover'],
  ] as const) {
    await advance(lease, from, to)
  }
  await t.rejects(operations.requestPause(id, 'ada'), {
    code: 'move_not_pausable',
    details: { move: id, phase: 'cutover' },
  })
  t.same(
    (await catalog.moves.events(id, 1)).slice(0, 2).map(({ message }) => message),
    ['Paused by ada.', 'Resumed by eve.'],
  )
  await end(lease)
  await t.rejects(operations.requestPause(id, 'ada'), { code: 'move_not_pausable' })
})

t.test('a switch waits for its approval and its window', async (t) => {
  const hour = (offset: number) => new Date(Date.now() + offset * 3_600_000).toISOString()
  const conditions = (given: object) => ({ terms: { cutover: switchConditionsSchema.parse(given) } })
  const atOnce = await newMove()
  await t.rejects(operations.approve(atOnce, 'ada'), { code: 'move_needs_no_approval' })

  const approved = await begin(await newMove(conditions({ approve: true })))
  t.equal(await operations.intendSwitch(approved, {}), false)
  await advance(approved, 'planned', 'ready')
  t.match(await catalog.moves.get(approved.id), { waiting: { for: 'approval' }, cutover: { approve: true } })
  await operations.approve(approved.id, 'ada')
  t.match(await operations.approve(approved.id, 'eve'), { approvedBy: 'ada' }, 'twice is once')
  t.equal((await catalog.moves.get(approved.id)).waiting, null)
  t.equal(await operations.intendSwitch(approved, {}), true)

  const closed = { from: hour(2).slice(11, 16), to: hour(3).slice(11, 16), tz: 'UTC' }
  const open = { from: hour(-1).slice(11, 16), to: hour(1).slice(11, 16), tz: 'UTC' }
  for (const [given, may] of [
    [{ notBefore: hour(1) }, false],
    [{ notBefore: hour(-1) }, true],
    [{ window: closed }, false],
    [{ window: open }, true],
    [{ window: { from: open.to, to: open.from } }, false],
    [{ window: open, notBefore: hour(2) }, false],
  ] as const) {
    const lease = await begin(await newMove(conditions(given)))
    await advance(lease, 'planned', 'ready')
    t.match((await catalog.moves.get(lease.id)).waiting, may ? null : { for: 'window', opensAt: String })
    t.equal(await operations.intendSwitch(lease, {}), may, JSON.stringify(given))
    await end(lease)
  }
  for (const wrong of [
    { window: { from: '02:00', to: '02:00' } },
    { window: { from: '2', to: '3' } },
    { window: { from: '02:00', to: '03:00', tz: '+01:00' } },
    { window: { from: '02:00', to: '03:00', tz: 'Mars/Base' } },
  ]) {
    t.notOk(switchConditionsSchema.safeParse(wrong).success, JSON.stringify(wrong))
  }
  await end(approved, await begin(atOnce))
})

t.test(
  'a window is of the clocks of its place, through midnight and the change of summer time',
  async (t) => {
    await withClient(server.as('freehold_control', 'freehold_catalog'), 'test', async (client) => {
      for (const [at, notBefore, from, until, opens] of [
        ['2026-07-01T00:30:00Z', null, '02:00', '04:00', '2026-07-01T00:30:00.000Z'],
        ['2026-07-01T02:00:00Z', null, '02:00', '04:00', '2026-07-02T00:00:00.000Z'],
        ['2026-01-01T00:30:00Z', null, '02:00', '04:00', '2026-01-01T01:00:00.000Z'],
        ['2026-07-01T21:00:00Z', null, '23:00', '01:00', '2026-07-01T21:00:00.000Z'],
        ['2026-07-01T22:59:00Z', null, '23:00', '01:00', '2026-07-01T22:59:00.000Z'],
        ['2026-07-01T23:00:00Z', null, '23:00', '01:00', '2026-07-02T21:00:00.000Z'],
        ['2026-03-28T12:00:00Z', null, '03:30', '04:00', '2026-03-29T01:30:00.000Z'],
        ['2026-07-01T00:30:00Z', '2026-07-05T00:00:00Z', '02:00', '04:00', '2026-07-05T00:00:00.000Z'],
        ['2026-07-01T00:30:00Z', '2026-07-05T12:00:00Z', null, null, '2026-07-05T12:00:00.000Z'],
      ] as const) {
        const zone = from === null ? null : 'Europe/Berlin'
        const found = await client.query<{ opens: Date }>(
          'select catalog.switch_opens_at($1, $2, $3, $4, $5) as opens',
          [at, notBefore, from, until, zone],
        )
        t.equal(found.rows[0]?.opens.toISOString(), opens, `${at} ${from}`)
      }
    })
  },
)

/** A record of an evacuation, without what an engine makes of it. */
async function openEvacuation() {
  const { evacuation } = await catalog.evacuations.begin({
    cluster: us.cluster,
    target: { region: eu.region },
    maxConcurrent: 2,
    createdBy: 'test',
  })
  // Tenants of the tests go on to be made there.
  await withClient(server.as('freehold_control', 'freehold_catalog'), 'test', (client) =>
    client.query('update catalog.clusters set draining_since = null'),
  )
  return evacuation.id
}
