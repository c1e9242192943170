import { setTimeout as sleep } from 'node:timers/promises'
import type { Lease } from '@freehold/catalog'
import {
  clusterIdSchema,
  epochSchema,
  FreeholdError,
  type MovePhase,
  type OperationId,
  operationIdSchema,
} from '@freehold/contract'
import t from 'tap'
import { noProgress, recordMove } from '../kit/moves.ts'
import { prepareRecordedMoves } from '../kit/recorded-moves.ts'

const LONG = 60_000
const failure = { code: 'source_unreachable', message: 'Nobody answers.' }
const ground = await prepareRecordedMoves('operations')
t.teardown(() => ground.remove())
const { catalog, other, us, eu } = ground
const { operations } = catalog
const newTenant = ground.tenant
const newMove = ground.move
for (const { cluster } of [us, eu]) await catalog.topology.limitMoves(cluster, 1_000)

async function claim(id: OperationId, leaseMs = LONG): Promise<Lease> {
  const claimed = await operations.claim(id, 'worker', leaseMs)
  if (claimed === null) throw new Error('not claimed')
  return { id, token: claimed.fencingToken }
}

const step = (fromPhase: MovePhase, toPhase: MovePhase) => ({
  fromPhase,
  toPhase,
  state: { version: 1, at: toPhase },
  message: `Now ${toPhase}.`,
})

async function finish(id: OperationId): Promise<void> {
  const lease = await claim(id)
  await operations.advance({ ...lease, ...step('planned', 'aborting') })
  await operations.advance({ ...lease, ...step('aborting', 'aborted') })
}

t.test('a move is recorded with all that its followers and workers need', async (t) => {
  const tenant = await newTenant()
  const operation = await recordMove(catalog, tenant, eu.cluster, { createdBy: 'ada' })
  t.match(operation, {
    tenantId: tenant.id,
    slug: tenant.slug,
    phase: 'planned',
    source: tenant.placement,
    targetCluster: 'eu-1',
    targetRegion: 'eu',
    targetJurisdiction: 'eu',
    targetDatabaseId: null,
    state: { version: 1 },
    attempts: 0,
    fencingToken: 0,
    createdBy: 'ada',
  })
  const move = await catalog.moves.detail(operation.id)
  t.match(move, {
    tenant: { id: tenant.id, slug: tenant.slug },
    from: tenant.placement,
    to: { isolation: 'silo', cluster: 'eu-1', jurisdiction: 'eu', epoch: 2 },
    events: [{ sequence: 1, phase: 'planned', message: 'Planned.' }],
  })
  t.notOk('dataDatabaseId' in move.to)
  t.notOk('state' in move, 'the state of the engine is not for the wire')
  t.equal((await catalog.tenants.get(tenant.slug)).activeMoveId, operation.id)

  const silo = await catalog.topology.registerSilo({
    clusterId: eu.cluster,
    name: operation.targetDatabase,
  })
  t.equal((await catalog.moves.get(operation.id)).to.dataDatabaseId, silo)
})

t.test('a move that may not be is refused by the constraint, in words', async (t) => {
  const tenant = await newTenant()
  const running = await recordMove(catalog, tenant, eu.cluster)
  await t.rejects(recordMove(catalog, tenant, us.cluster), {
    code: 'tenant_moving',
    details: { tenant: tenant.slug, move: running.id },
  })

  const pinned = await newTenant('us')
  await t.rejects(recordMove(catalog, pinned, eu.cluster), {
    code: 'residency_violation',
    message: `Tenant ${pinned.slug} is pinned to us; the target lies in eu.`,
    details: { tenant: pinned.slug, residency: 'us', jurisdiction: 'eu' },
  })
  t.equal((await catalog.tenants.get(pinned.id)).activeMoveId, null)
  t.match(await recordMove(catalog, pinned, us.cluster), { phase: 'planned' })

  const stale = await newTenant()
  const silo = await catalog.topology.registerSilo({ clusterId: us.cluster, name: 'moved_on' })
  await catalog.placements.switchHome({
    tenantId: stale.id,
    fromEpoch: stale.placement.epoch,
    toEpoch: epochSchema.parse(2),
    dataDatabaseId: silo,
    isolation: 'silo',
    schema: 'public',
  })
  await t.rejects(recordMove(catalog, stale, eu.cluster), { code: 'lease_lost' })
  await t.rejects(recordMove(catalog, await newTenant(), clusterIdSchema.parse('nowhere')), {
    code: 'target_not_found',
  })
  await t.rejects(catalog.moves.get(operationIdSchema.parse('00000000-0000-4000-8000-000000000000')), {
    code: 'move_not_found',
  })
})

t.test('a request that is sent twice, even at once, starts one move', async (t) => {
  const tenant = await newTenant()
  const request = { subject: 'ada', key: 'once', digest: Buffer.alloc(32, 1) }
  const ids = await Promise.all(
    [1, 2, 3].map(async () => (await recordMove(catalog, tenant, eu.cluster, { request })).id),
  )
  t.equal(new Set(ids).size, 1)
  t.equal(await catalog.findMade(request), ids[0])
  t.equal(await catalog.findMade({ ...request, subject: 'eve' }), undefined, 'a key belongs to its sender')
  const changed = { ...request, digest: Buffer.alloc(32, 2) }
  await t.rejects(catalog.findMade(changed), { code: 'idempotency_key_reused' })
  await t.rejects(recordMove(catalog, await newTenant(), eu.cluster, { request: changed }), {
    code: 'idempotency_key_reused',
  })

  // A refused request leaves its key free.
  const second = { subject: 'ada', key: 'refused', digest: Buffer.alloc(32, 1) }
  await t.rejects(recordMove(catalog, tenant, eu.cluster, { request: second }), { code: 'tenant_moving' })
  t.equal(await catalog.findMade(second), undefined)
})

t.test('of many workers one gets the lease', async (t) => {
  const id = await newMove()
  const claims = await Promise.all(
    Array.from({ length: 16 }, (_, worker) =>
      (worker % 2 === 0 ? catalog : other).operations.claim(id, `worker-${worker}`, LONG),
    ),
  )
  t.equal(claims.filter((claimed) => claimed !== null).length, 1)
  t.notOk((await operations.due(100)).includes(id))
})

t.test('a lease that ran out is taken over, and its former holder writes nothing more', async (t) => {
  const id = await newMove()
  const slow = await claim(id, 500)
  t.equal(await other.operations.claim(id, 'early', LONG), null)
  await sleep(600)
  t.ok((await operations.due(100)).includes(id))
  const taken = await other.operations.claim(id, 'second', LONG)
  t.equal(taken?.fencingToken, slow.token + 1)

  const before = await catalog.moves.detail(id)
  t.same(await operations.renewLease(slow, LONG), undefined)
  for (const write of [
    () => operations.saveState(slow, { version: 1, stolen: true }),
    () => operations.retarget(slow, { database: 'silo_stolen', schema: 'public' }),
    () => operations.saveProgress(slow, { ...noProgress, rowsCopied: 1 }),
    () => operations.addEvent(slow, 'I was here.'),
    () => operations.intendSwitch(slow, {}),
    () => operations.withdrawSwitch(slow, {}),
    () => operations.advance({ ...slow, ...step('planned', 'provisioning') }),
  ]) {
    await t.rejects(async () => void (await write()), { code: 'lease_lost', details: { operation: id } })
  }
  await operations.release(slow, 0, failure)
  t.same(await catalog.moves.detail(id), before)
  t.equal(await operations.claim(id, 'third', LONG), null, 'a stale release frees nothing')

  const held: Lease = { id, token: slow.token + 1 }
  t.same(await operations.renewLease(held, LONG), { cancelRequested: false, paused: false, maySwitch: true })
  await operations.retarget(held, { database: 'silo_second', schema: 'public' })
  t.equal((await catalog.moves.get(id)).to.database, 'silo_second')
})

t.test('of two workers that advance at once one does', async (t) => {
  const id = await newMove()
  const lease = await claim(id)
  const results = await Promise.allSettled(
    [catalog, other, catalog, other].map((worker) =>
      worker.operations.advance({ ...lease, ...step('planned', 'provisioning') }),
    ),
  )
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  const move = await catalog.moves.detail(id)
  t.equal(move.phase, 'provisioning')
  t.same(
    move.events.map(({ message }) => message),
    ['Planned.', 'Now provisioning.'],
    'phase and timeline change together',
  )
  t.match(await operations.get(id), { state: { version: 1, at: 'provisioning' } })
})

t.test('entries of the timeline are numbered without a gap', async (t) => {
  const id = await newMove()
  const lease = await claim(id)
  await Promise.all(Array.from({ length: 8 }, (_, each) => operations.addEvent(lease, `Entry ${each}.`)))
  const all = await catalog.moves.events(id, 0)
  t.same(
    all.map(({ sequence }) => sequence),
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
  )
  t.same(await catalog.moves.events(id, 7), all.slice(7))
})

t.test(
  'an operation given back is due again after its delay, and attempts are counted by phase',
  async (t) => {
    const id = await newMove()
    t.ok((await operations.due(100)).includes(id))
    const first = await claim(id)
    await operations.release(first, 100, failure)
    t.notOk((await operations.due(100)).includes(id))
    await sleep(130)
    t.ok((await operations.due(100)).includes(id))

    const second = await claim(id)
    t.equal(second.token, first.token + 1)
    await operations.release(second, 0)
    t.equal((await operations.get(id)).attempts, 1)
    const third = await claim(id)
    await operations.advance({ ...third, ...step('planned', 'provisioning') })
    t.equal((await operations.get(id)).attempts, 0)
  },
)

t.test('what has ended stays as it ended', async (t) => {
  const id = await newMove()
  const lease = await claim(id)
  const error = {
    type: 'urn:freehold:error:move_cancelled',
    title: 'The move was cancelled',
    status: 409,
    code: 'move_cancelled',
    detail: 'ada asked for it.',
    next: 'Start a new move when wanted.',
  } as const
  await operations.advance({ ...lease, ...step('planned', 'aborting'), error })
  const progress = { ...noProgress, rowsCopied: 7 }
  await operations.advance({ ...lease, ...step('aborting', 'aborted'), progress })
  const ended = await catalog.moves.detail(id)
  t.match(ended, { phase: 'aborted', error, progress: { rowsCopied: 7 }, finishedAt: String })
  t.equal((await catalog.tenants.get(ended.tenant.id)).activeMoveId, null)

  t.equal(await operations.claim(id, 'late', LONG), null)
  t.equal(await operations.renewLease(lease, LONG), undefined)
  await t.rejects(operations.saveState(lease, {}), { code: 'lease_lost' })
  await t.rejects(operations.requestCancel(id), {
    code: 'move_not_cancellable',
    details: { phase: 'aborted' },
  })
  t.same(await catalog.moves.detail(id), ended)
  t.match(await recordMove(catalog, await catalog.tenants.get(ended.tenant.id), eu.cluster), {
    phase: 'planned',
  })
})

t.test('a cancel and the point of no return exclude each other', async (t) => {
  const cancelled = await newMove()
  const first = await claim(cancelled)
  t.match(await operations.requestCancel(cancelled), { cancelRequested: true })
  t.match(await operations.requestCancel(cancelled), { cancelRequested: true }, 'twice is once')
  t.same(await operations.renewLease(first, LONG), { cancelRequested: true, paused: false, maySwitch: false })
  t.equal(await operations.intendSwitch(first, { version: 1, intended: true }), false)
  t.match(await operations.get(cancelled), { switchIntended: false, state: { version: 1 } })

  const switched = await newMove()
  const second = await claim(switched)
  t.equal(await operations.intendSwitch(second, { version: 1, intended: true }), true)
  await t.rejects(operations.requestCancel(switched), { code: 'move_not_cancellable' })
  await operations.withdrawSwitch(second, { version: 1 })
  t.match(
    await operations.requestCancel(switched),
    { cancelRequested: true },
    'until the intent is withdrawn',
  )

  for (let round = 0; round < 20; round++) {
    const id = await newMove()
    const lease = await claim(id)
    const [cancel, intended] = await Promise.all([
      other.operations.requestCancel(id).then(
        () => true,
        () => false,
      ),
      operations.intendSwitch(lease, {}),
    ])
    t.not(cancel, intended, 'one of the two wins')
    await finishHeld(lease)
  }

  async function finishHeld(lease: Lease) {
    await operations.advance({ ...lease, ...step('planned', 'aborting') })
    await operations.advance({ ...lease, ...step('aborting', 'aborted') })
  }
})

t.test('a cancel wakes an operation that waits for its next attempt', async (t) => {
  const id = await newMove()
  await operations.release(await claim(id), LONG, failure)
  t.notOk((await operations.due(100)).includes(id))
  await operations.requestCancel(id)
  t.ok((await operations.due(100)).includes(id))
})

t.test(
  'a rollback can be asked for while the window is open, and not once it is unsafe or over',
  async (t) => {
    const soaking = async (rollbackWindowSeconds: number) => {
      const { id } = await recordMove(catalog, await newTenant(), eu.cluster, { rollbackWindowSeconds })
      const lease = await claim(id)
      await t.rejects(operations.requestRollback(id), { code: 'rollback_not_possible' }, 'before the switch')
      await t.rejects(operations.requestFinalize(id), { code: 'move_not_finalizable' })
      t.equal((await catalog.moves.get(id)).rollback?.state, 'pending')
      await operations.advance({ ...lease, ...step('planned', 'soak') })
      return { id, lease }
    }

    const asked = await soaking(3_600)
    const { rollback } = await catalog.moves.get(asked.id)
    t.match(rollback, { seconds: 3_600, state: 'open', problem: null })
    t.ok(Date.parse(rollback?.closesAt ?? '') > Date.now() + 3_000_000)
    await t.rejects(operations.requestCancel(asked.id), { code: 'move_not_cancellable' })
    await operations.rest(asked.lease, LONG)
    t.notOk((await operations.due(100)).includes(asked.id), 'it rests')
    t.match(await operations.requestRollback(asked.id), { rollbackRequested: true })
    t.match(await operations.requestRollback(asked.id), { rollbackRequested: true }, 'twice is once')
    t.ok((await operations.due(100)).includes(asked.id), 'it is woken')
    t.match((await catalog.moves.get(asked.id)).rollback, { state: 'requested', closesAt: null })
    await t.rejects(operations.requestFinalize(asked.id), { code: 'move_not_finalizable' })
    const held = await claim(asked.id)
    await t.rejects(operations.advance({ ...held, ...step('soak', 'finalize') }), { code: '23514' })
    await operations.rest(held, LONG)
    t.ok((await operations.due(100)).includes(asked.id), 'and does not rest before it is done')
    const again = await claim(asked.id)
    await operations.advance({ ...again, ...step('soak', 'rolling_back') })
    await operations.callOffRollback(again, { version: 1 }, 'no luck')
    await operations.advance({ ...again, ...step('rolling_back', 'soak') })
    t.match(
      (await catalog.moves.get(asked.id)).rollback,
      { state: 'open' },
      'called off, it can be asked for again',
    )
    t.match(await operations.requestRollback(asked.id), { rollbackRequested: true })

    const lost = await soaking(3_600)
    const problem = new FreeholdError('rollback_unsafe', 'The slot is gone.').toProblem()
    await operations.declareRollbackUnsafe(lost.lease, problem)
    t.match(
      (await catalog.moves.detail(lost.id)).events.at(-1)?.message,
      /not safe any more: The slot is gone/,
    )
    t.match((await catalog.moves.get(lost.id)).rollback, { state: 'unsafe', problem })
    await t.rejects(operations.requestRollback(lost.id), {
      code: 'rollback_unsafe',
      message: 'The slot is gone.',
    })
    t.match(await operations.requestFinalize(lost.id), { windowClosed: true })
    await operations.rest(lost.lease, LONG)
    t.ok((await operations.due(100)).includes(lost.id), 'a closed window is not rested in')
    t.equal((await catalog.moves.get(lost.id)).rollback?.state, 'closed')

    const over = await soaking(1)
    await sleep(1_100)
    await t.rejects(operations.requestRollback(over.id), {
      code: 'rollback_not_possible',
      message: /window closed at/,
    })
  },
)

t.test('moves are listed newest first, by pages that neither skip nor repeat', async (t) => {
  const tenant = await newTenant()
  const ids: OperationId[] = []
  for (let round = 0; round < 5; round++) {
    const operation = await recordMove(catalog, tenant, eu.cluster)
    ids.unshift(operation.id)
    if (round < 4) await finish(operation.id)
  }
  const query = { tenant: tenant.slug, limit: 2 }
  const seen: OperationId[] = []
  let cursor: string | undefined
  do {
    const page = await catalog.moves.list(cursor === undefined ? query : { ...query, cursor })
    seen.push(...page.items.map(({ id }) => id))
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined)
  t.same(seen, ids)
  const listed = async (active: boolean) =>
    (await catalog.moves.list({ ...query, limit: 50, active })).items.map(({ id }) => id)
  t.same(await listed(true), ids.slice(0, 1))
  t.same(await listed(false), ids.slice(1))
  await t.rejects(catalog.moves.list({ limit: 1, cursor: 'nonsense' }), { code: 'invalid_request' })
  await t.rejects(catalog.moves.list({ limit: 1, tenant: 'nobody' }), { code: 'tenant_not_found' })
})

t.test('the ledger owns what it records until it is released', async (t) => {
  const mine = await claim(await newMove())
  const theirs = await claim(await newMove())
  const slot = {
    operationId: mine.id,
    clusterId: us.cluster,
    kind: 'replication_slot',
    databaseName: 'pool',
    name: 'move_slot',
  } as const
  const name = 'silo_x'
  const silo = { ...slot, clusterId: eu.cluster, kind: 'database', databaseName: name, name } as const
  await catalog.ledger.record(mine, slot)
  await catalog.ledger.record(mine, slot)
  await catalog.ledger.record(mine, silo)
  t.same(
    await catalog.ledger.unreleased({ operationId: mine.id }),
    [silo, slot],
    'last recorded, first removed',
  )

  const formerHolder = { ...mine, token: mine.token - 1 }
  await t.rejects(catalog.ledger.record(formerHolder, slot), { code: 'lease_lost' })
  await t.rejects(catalog.ledger.record(formerHolder, { ...slot, name: 'late' }), { code: 'lease_lost' })
  await t.rejects(catalog.ledger.record(theirs, { ...slot, operationId: theirs.id }), { code: 'lease_lost' })
  t.equal((await catalog.ledger.unreleased()).length, 2)

  t.same(await catalog.ledger.unreleased({ operationId: mine.id, finishedOnly: true }), [])
  await operations.advance({ ...mine, ...step('planned', 'aborting') })
  await operations.advance({ ...mine, ...step('aborting', 'aborted') })
  await t.rejects(catalog.ledger.record(mine, { ...slot, name: 'after the end' }), { code: 'lease_lost' })
  t.same(await catalog.ledger.unreleased({ finishedOnly: true }), [silo, slot])
  await catalog.ledger.release(slot)
  await catalog.ledger.release(slot)
  t.same(await catalog.ledger.unreleased({ operationId: mine.id }), [silo])
  await catalog.ledger.record(theirs, { ...slot, operationId: theirs.id })
  t.equal((await catalog.ledger.unreleased()).length, 2)
})

t.end()
