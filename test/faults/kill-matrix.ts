import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ChangeStreamChoice,
  isFreeholdError,
  type Move,
  type MoveDetail,
  type Tenant,
} from '@freehold/contract'
import { tenantLock, withClient } from '@freehold/postgres'
import { z } from 'zod'
import { asSuperuser } from '../kit/databases.ts'
import { giveOwnSchema } from '../kit/own-schema.ts'
import { patiently } from '../kit/patiently.ts'
import { type Barrier, barrierNames, barriers, criticalBarriers, dealtOut, type Way } from './barriers.ts'
import { changedNeighbours, contentAtHome, examineTenant, leftBehind, openHomes } from './examine.ts'
import { dropSilo, type FaultGround, FENCE_EXPIRY_MS } from './fault-ground.ts'
import type { Fault } from './faults.ts'

const CUSTOMERS = 60
const MANY_VERIFICATIONS = 1_000
const WINDOW_SECONDS = 3_600
/** Ways whose rollback window is closed by hand in the end. */
const finalized: ReadonlySet<Way> = new Set([
  'move_with_window',
  'rollback_called_off',
  'move_not_to_be_rolled_back',
])
/** It is a matter of seconds, but for the machine. */
const REACHED_WITHIN_MS = 180_000
/** How long a move rests at most after a failed attempt before it is taken up again. */
const REST_MS = 500
/** How long a worker waits at most for an answer that writers wait for: the catalog's. */
const NOTICED_MS = 10_000
/** What the machine may add to an outage: it may be a slow one, and has others to serve. */
const ALLOWANCE_MS = 10_000

/** A fault, and where in the move it strikes. */
export interface Strike {
  readonly at: Barrier
  readonly fault: Fault
}

export interface CaseResult {
  readonly move: MoveDetail
  /** What of the invariants did not hold. */
  readonly problems: readonly string[]
  readonly acknowledged: number
  readonly failed: number
  /** The longest time in which no write of the tenant was acknowledged, ms. */
  readonly outageMs: number
}

/**
 * Every barrier at which faults strike, dealt out to moves that are struck at so many of them at most.
 *
 * @param faults take turns from barrier to barrier.
 */
export function strikesOf(faults: readonly Fault[], strikes: number): Strike[][] {
  // Elsewhere than between two homes, a connection that vanishes for good is the network's to end.
  const places = faults.every(({ everywhere }) => everywhere) ? barrierNames : criticalBarriers
  return dealtOut(places, strikes).map((passed) =>
    passed.flatMap((at) => {
      const fault = faults[barrierNames.indexOf(at) % faults.length]
      return fault === undefined ? [] : [{ at, fault }]
    }),
  )
}

let cases = 0

/**
 * Moves a tenant while it is written to, strikes at each barrier in turn, and holds what comes of it against the
 * invariants. The barriers are all on one way, in the order in which a move comes by them.
 *
 * @param by how its changes are followed, in both directions.
 */
export async function runCase(
  ground: FaultGround,
  strikes: readonly Strike[],
  by: ChangeStreamChoice = 'auto',
): Promise<CaseResult> {
  const { worker } = ground
  const [first] = strikes
  if (first === undefined) throw new Error('nothing is to strike')
  const tenant = await begin(ground, barriers[first.at])
  const content = await contentAtHome(ground, tenant)
  const writer = ground.startWriter(tenant)
  const deaths = worker.deaths
  const { move, stands } = await setOut(ground, first.at, tenant, by)
  const problems = await strikeInTurn(ground, strikes, stands, move)
  await worker.start()
  await worker.stopNowhere()
  if (finalized.has(barriers[first.at])) await finalize(ground, move)
  const ended = await ground.ended(move)
  if (!(await writer.goesOn(REACHED_WITHIN_MS))) problems.push('no write is acknowledged any more')
  const report = await writer.stop()
  problems.push(
    ...(await leftBehind(ground)),
    ...(await examineTenant(ground, tenant, ended, content, report)),
    ...(await changedNeighbours(ground)),
  )
  if (report.failures.length > 0 && !strikes.some(({ fault }) => fault.hitsWriters)) {
    problems.push(`${report.failures.length} writes failed: ${report.failures[0]}`)
  }
  const awayMs = strikes.reduce((sum, { fault }) => sum + (fault.lasting ? NOTICED_MS : fault.awayMs), 0)
  // Struck again and again after the seal, the tenant waits for as many workers to take the move up.
  if (report.longestPauseMs > FENCE_EXPIRY_MS + awayMs + strikes.length * ALLOWANCE_MS) {
    problems.push(`no write for ${Math.round(report.longestPauseMs)} ms`)
  }
  if (worker.deaths > deaths) problems.push('the worker has ended by itself')
  if (ended.phase === 'completed') await dropSilo(ground.eu, ended.to.database)
  return {
    move: ended,
    problems,
    acknowledged: report.acknowledged,
    failed: report.failures.length,
    outageMs: report.longestPauseMs,
  }
}

type Wait = (timeoutMs: number) => Promise<boolean>

/** @returns the barrier that was not come by, and what was wrong at those that were. */
async function strikeInTurn(
  { worker, ...ground }: FaultGround,
  strikes: readonly Strike[],
  firstStand: Wait,
  move: Move,
): Promise<string[]> {
  const problems: string[] = []
  let stands = firstStand
  for (const [index, { at, fault }] of strikes.entries()) {
    if (!(await comesBy(stands, ground))) return [...problems, `${at} was not come by`]
    problems.push(...(await openHomes({ worker, ...ground }, move)).map((home) => `${at}: ${home}`))
    await fault.strike({ worker, ...ground })
    const next = strikes[index + 1]
    if (next !== undefined) stands = await worker.stopAt(next.at)
    worker.goOn()
    await sleep(fault.awayMs)
    await fault.mend({ worker, ...ground })
  }
  return problems
}

/** Nobody rests meanwhile after what was struck before: how long that is has nothing to do with what comes of it. */
async function comesBy(stands: Wait, { endRests }: Pick<FaultGround, 'endRests'>): Promise<boolean> {
  const deadline = performance.now() + REACHED_WITHIN_MS
  while (!(await stands(REST_MS))) {
    if (performance.now() > deadline) return false
    await endRests()
  }
  return true
}

async function begin(ground: FaultGround, way: Way): Promise<Tenant> {
  const number = ++cases
  const tenant = await ground.tenant(`case-${number}`, CUSTOMERS)
  if (way === 'move_from_schema') return giveOwnSchema(ground.moving, tenant, `t_case_${number}`)
  if (way !== 'move_from_silo') return tenant
  await ground.ended(await ground.startMove(tenant, 'us'))
  return ground.catalog.tenants.get(tenant.id)
}

/** Starts a move that comes by the barrier, at which the worker will stand still. */
async function setOut(
  ground: FaultGround,
  barrier: Barrier,
  tenant: Tenant,
  by: ChangeStreamChoice,
): Promise<SetOut> {
  const { worker, catalog } = ground
  const way = barriers[barrier]
  if (way === 'move_rolled_back' || way === 'move_not_to_be_rolled_back') {
    const move = await ground.startMove(tenant, 'eu', by, {}, WINDOW_SECONDS)
    await inStep(ground, move)
    const stands = await worker.stopAt(barrier)
    if (way === 'move_rolled_back') await catalog.operations.requestRollback(move.id)
    else await loseStreamBack[by](ground, move)
    return { move, stands }
  }
  if (way === 'rollback_called_off') return callOffRollback(ground, barrier, tenant, by)
  if (way === 'move_called_off') return callOffSwitch(ground, barrier, tenant, by)
  if (way === 'move_repaired') {
    const verifies = await worker.stopAt('verify.entered')
    const move = await ground.startMove(tenant, 'eu', by, { repair: true })
    await verifies(REACHED_WITHIN_MS)
    await damage(ground, move)
    const stands = await worker.stopAt(barrier)
    worker.goOn()
    return { move, stands }
  }
  if (way !== 'cancelled_move' && way !== 'move_begun_anew') {
    const stands = await worker.stopAt(barrier)
    const windowSeconds = way === 'move_with_window' ? WINDOW_SECONDS : 0
    return { move: await ground.startMove(tenant, 'eu', by, {}, windowSeconds), stands }
  }
  const copies = await worker.stopAt('backfill.entered')
  const move = await ground.startMove(tenant, 'eu', by)
  await copies(REACHED_WITHIN_MS)
  if (way === 'cancelled_move') {
    await catalog.operations.requestCancel(move.id)
  } else {
    await worker.kill()
    await ground.expireLeases()
  }
  const stands = await worker.stopAt(barrier)
  await worker.start()
  worker.goOn()
  return { move, stands }
}

interface SetOut {
  readonly move: Move
  readonly stands: Wait
}

/** A writer that entered before the fence, and does not end. */
async function callOffSwitch(
  ground: FaultGround,
  barrier: Barrier,
  tenant: Tenant,
  by: ChangeStreamChoice,
): Promise<SetOut> {
  const { worker, us } = ground
  const switches = await worker.stopAt('cutover.intended')
  const move = await ground.startMove(tenant, 'eu', by)
  await switches(REACHED_WITHIN_MS)
  const stands = await worker.stopAt(barrier)
  const stood = await withClient(asSuperuser(us.cluster, 'pool'), 'test', async (writer) => {
    await tenantLock.tryShared(writer, tenant.id)
    worker.goOn()
    return stands(REACHED_WITHIN_MS)
  })
  return { move, stands: async () => stood }
}

/** A tenant that changes faster than it can be compared: it was verified as often as may be already. */
async function callOffRollback(
  ground: FaultGround,
  barrier: Barrier,
  tenant: Tenant,
  by: ChangeStreamChoice,
): Promise<SetOut> {
  const { worker, catalog } = ground
  const move = await ground.startMove(tenant, 'eu', by, {}, WINDOW_SECONDS)
  await inStep(ground, move)
  const begins = await worker.stopAt('rolling_back.entered')
  await catalog.operations.requestRollback(move.id)
  await begins(REACHED_WITHIN_MS)
  await worker.kill()
  await ground.countVerifications(move, MANY_VERIFICATIONS)
  await ground.expireLeases()
  const stands = await worker.stopAt(barrier)
  await worker.start()
  return { move, stands }
}

/** Has rows of the target differ that nobody writes. */
async function damage({ catalog, eu }: FaultGround, { id }: Move): Promise<void> {
  const { to } = await catalog.moves.get(id)
  await withClient(asSuperuser(eu.cluster, to.database), 'test', (client) =>
    client.query(
      "delete from order_events; update customers set name = 'damaged' where email like '%@example.test'",
    ),
  )
}

/** Waits until the rollback window is open and the old home is kept in step. */
async function inStep({ catalog }: FaultGround, { id }: Move): Promise<void> {
  await within(REACHED_WITHIN_MS, async () => {
    const { phase, rollback } = await patiently(() => catalog.moves.detail(id))
    return phase === 'soak' && rollback?.state === 'open'
  })
}

/** The way back begins at the target, which is its source. */
const loseStreamBack: Record<ChangeStreamChoice, (ground: FaultGround, move: Move) => Promise<void>> = {
  auto: dropSlot,
  logical: dropSlot,
  triggers: disableTriggers,
}

async function disableTriggers({ eu, catalog }: FaultGround, { id }: Move): Promise<void> {
  const { to } = await catalog.moves.get(id)
  await withClient(asSuperuser(eu.cluster, to.database), 'test', (client) =>
    client.query('alter table orders disable trigger user'),
  )
}

/** What a server without room for its log does to a slot that nobody reads, an operator can do as well. */
async function dropSlot({ eu, catalog }: FaultGround, { id }: Move): Promise<void> {
  const { state } = await catalog.operations.get(id)
  const { streamAtSource } = z.object({ streamAtSource: z.string() }).parse(state)
  await withClient(asSuperuser(eu.cluster, 'postgres'), 'test', (client) =>
    within(REACHED_WITHIN_MS, async () => {
      const dropped = await client.query(
        `select pg_drop_replication_slot(slot_name) from pg_replication_slots
         where slot_name = $1 and not active`,
        [streamAtSource],
      )
      return dropped.rowCount === 1
    }),
  )
}

/** Ends the window as soon as that can be done; a worker that was killed has to come that far first. */
async function finalize({ catalog }: FaultGround, { id }: Move): Promise<void> {
  await within(REACHED_WITHIN_MS, async () => {
    const { phase } = await patiently(() => catalog.moves.detail(id))
    if (phase === 'soak') await catalog.operations.requestFinalize(id).catch(passOverRefusal)
    return phase === 'finalize' || phase === 'completed'
  })
}

function passOverRefusal(error: unknown): void {
  if (!isFreeholdError(error, 'move_not_finalizable')) throw error
}

async function within(timeoutMs: number, reached: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await reached())) {
    if (performance.now() > deadline) throw new Error(`not reached within ${timeoutMs} ms`)
    await sleep(50)
  }
}
