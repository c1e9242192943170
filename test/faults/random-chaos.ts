import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ChangeStreamChoice,
  isFreeholdError,
  isolationSchema,
  type Move,
  type MoveDetail,
  type MoveTarget,
  moveTargetSchema,
  type Tenant,
} from '@freehold/contract'
import { planMove, startMove } from '@freehold/engine'
import { TEST_ENTRY_SECRET } from '../kit/moving-ground.ts'
import type { Ledger } from '../kit/tenant-writer.ts'
import { Random } from '../load/seed/random.ts'
import { barrierNames, barriers, type Way } from './barriers.ts'
import { type Content, changedNeighbours, contentAtHome, examineTenant, leftBehind } from './examine.ts'
import { dropSilo, type FaultGround, FENCE_EXPIRY_MS } from './fault-ground.ts'
import { type Fault, faults } from './faults.ts'

export interface ChaosOptions {
  readonly seed: number
  /** No round begins after this long, ms. */
  readonly durationMs: number
  /** Told every step, as a line. */
  readonly tell: (line: string) => void
  readonly signal: AbortSignal
}

export interface ChaosReport {
  readonly rounds: number
  readonly moved: number
  readonly unmoved: number
  readonly writes: number
  readonly problems: readonly string[]
}

const TENANTS = 3
const CUSTOMERS = 60
/** Moves after which a tenant makes room for a new one, which begins in the pool. */
const MOVES_OF_A_TENANT = 4
const REGIONS = ['us', 'eu']
/** How long a strike waits for somebody to come by its barrier. */
const AT_BARRIER_MS = 8_000
const GOES_ON_WITHIN_MS = 180_000
const ALLOWANCE_MS = 15_000
const LONGEST_DELAY_MS = 2_500
const CANCELLED_SHARE = 0.15
const WINDOW_SHARE = 0.4
const ROLLED_BACK_SHARE = 0.6
const PAUSED_SHARE = 0.2
const THROTTLED_SHARE = 0.2
/** With this many rows a second a copy takes about as long as a fault. */
const THROTTLED_ROWS_PER_SECOND = 200
const WINDOW_SECONDS = 3_600
const STEER_EVERY_MS = 100
const DELAYED_SHARE = 0.3

/** A tenant of the run, and what is known of it between rounds. */
interface Subject {
  readonly tenant: Tenant
  readonly content: Content
  ledger: Ledger
  moves: number
}

/** When a fault strikes: as somebody comes by a barrier, or after a while, ms. */
type Moment = { readonly at: string } | { readonly afterMs: number }

/** What is wanted of a move, and what becomes of it if nothing else does. */
interface Wish {
  readonly subject: Subject
  readonly target: MoveTarget
  readonly changeStream: ChangeStreamChoice
  readonly maxRowsPerSecond?: number
  readonly cancelAfterMs?: number
  readonly pause?: { readonly afterMs: number; readonly forMs: number }
  /** It has a rollback window, which ends like this once it has been open for a while. */
  readonly window?: { readonly endsAs: 'rolled back' | 'finalised'; readonly openMs: number }
}

interface Round {
  readonly moves: readonly Wish[]
  readonly strikes: readonly (Moment & { readonly fault: Fault })[]
}

/**
 * Round after round moves tenants about while they are written to, breaks something, and holds what comes of it against
 * the invariants. What is done is decided by the seed alone; when exactly it happens is the machine's affair. Ends at the
 * first round in which something is wrong.
 */
export async function runChaos(ground: FaultGround, options: ChaosOptions): Promise<ChaosReport> {
  const { seed, durationMs, tell, signal } = options
  const random = new Random(seed)
  const deadline = performance.now() + durationMs
  const subjects: Subject[] = []
  const total = { rounds: 0, moved: 0, unmoved: 0, writes: 0 }
  let created = 0
  for (;;) {
    signal.throwIfAborted()
    while (subjects.length < TENANTS) subjects.push(await newSubject(ground, `chaos-${++created}`))
    const round = await drawRound(ground, random, subjects)
    tell(`round ${++total.rounds}: ${describeRound(round)}`)
    const { ended, writes, problems } = await play(ground, subjects, round, tell, signal)
    total.writes += writes
    for (const { phase } of ended) phase === 'completed' ? total.moved++ : total.unmoved++
    if (problems.length > 0 || performance.now() > deadline) return { ...total, problems }
    for (const [index, { moves }] of subjects.entries()) {
      if (moves >= MOVES_OF_A_TENANT) await dismiss(ground, subjects.splice(index, 1)[0])
    }
  }
}

async function newSubject(ground: FaultGround, slug: string): Promise<Subject> {
  const tenant = await ground.tenant(slug, CUSTOMERS)
  return { tenant, content: await contentAtHome(ground, tenant), ledger: new Map(), moves: 0 }
}

/** A silo of a tenant that is not moved any more would only take room. */
async function dismiss(ground: FaultGround, subject: Subject | undefined): Promise<void> {
  if (subject === undefined) return
  const home = await ground.catalog.placements.home(subject.tenant.id)
  if (home.isolation === 'silo') await dropSilo(ground.cluster(home.cluster), home.database)
}

async function drawRound(ground: FaultGround, random: Random, subjects: readonly Subject[]): Promise<Round> {
  const staying = [...subjects]
  const moves: Wish[] = []
  for (let more = 1 + random.below(2); more > 0; more--) {
    const subject = random.pick(staying)
    staying.splice(staying.indexOf(subject), 1)
    moves.push(drawWish(random, subject, random.pick(await directions(ground, subject.tenant))))
  }
  const ways: Way[] = moves.some(({ window }) => window !== undefined)
    ? ['move', 'move_with_window', 'move_rolled_back']
    : ['move']
  const passed = barrierNames.filter((name) => ways.includes(barriers[name]))
  const places = Array.from({ length: 1 + random.below(3) }, () => random.pick(passed))
  // In the order in which a move comes by them.
  const strikes = places
    .sort((a, b) => passed.indexOf(a) - passed.indexOf(b))
    .map((at) => {
      const fault = random.pick(faults.filter(({ lasting }) => !lasting))
      const [delayed, afterMs] = [random.chance(DELAYED_SHARE), random.below(LONGEST_DELAY_MS)]
      return delayed ? { fault, afterMs } : { fault, at }
    })
  return { moves, strikes }
}

/** As many draws whatever comes of each, so that one wish does not change the next. */
function drawWish(random: Random, subject: Subject, target: MoveTarget): Wish {
  const cancelled = random.chance(CANCELLED_SHARE)
  const cancelAfterMs = random.below(LONGEST_DELAY_MS)
  const changeStream = random.pick(['logical', 'triggers'] as const)
  const throttled = random.chance(THROTTLED_SHARE)
  const paused = random.chance(PAUSED_SHARE)
  const pause = { afterMs: random.below(LONGEST_DELAY_MS), forMs: random.below(LONGEST_DELAY_MS) }
  const hasWindow = random.chance(WINDOW_SHARE)
  const endsAs = random.chance(ROLLED_BACK_SHARE) ? 'rolled back' : 'finalised'
  const openMs = random.below(LONGEST_DELAY_MS)
  return {
    subject,
    target,
    changeStream,
    ...(cancelled ? { cancelAfterMs } : {}),
    ...(throttled ? { maxRowsPerSecond: THROTTLED_ROWS_PER_SECOND } : {}),
    ...(paused ? { pause } : {}),
    ...(hasWindow ? { window: { endsAs, openMs } } : {}),
  }
}

/** Every target that the contract knows and that is not where the tenant is. */
async function directions(ground: FaultGround, tenant: Tenant): Promise<MoveTarget[]> {
  const home = await ground.catalog.placements.home(tenant.id)
  return isolationSchema.options.flatMap((isolation) =>
    REGIONS.flatMap((region) => {
      if (home.isolation === isolation && home.region === region) return []
      const target = moveTargetSchema.safeParse({ isolation, region })
      return target.success ? [target.data] : []
    }),
  )
}

async function play(
  ground: FaultGround,
  subjects: readonly Subject[],
  round: Round,
  tell: (line: string) => void,
  signal: AbortSignal,
): Promise<{ ended: MoveDetail[]; writes: number; problems: string[] }> {
  const deaths = ground.worker.deaths
  const writers = subjects.map((subject) => ground.startWriter(subject.tenant, subject.ledger))
  const started = new Map<Subject, Move>()
  for (const wish of round.moves) {
    const move = await start(ground, wish, tell)
    if (move !== undefined) started.set(wish.subject, move)
  }
  const allEnded = Promise.all([...started.values()].map((move) => ground.ended(move)))
  const orders = round.moves.map((wish) => steer(ground, wish, started.get(wish.subject), allEnded))
  await strikeAll(ground, round, allEnded, signal)
  await ground.worker.start()
  await ground.worker.stopNowhere()
  const ended = await allEnded
  await Promise.all(orders)

  const problems: string[] = []
  const goOn = await Promise.all(writers.map((writer) => writer.goesOn(GOES_ON_WITHIN_MS)))
  const reports = await Promise.all(writers.map((writer) => writer.stop()))
  problems.push(...(await leftBehind(ground)), ...(await changedNeighbours(ground)))
  const away = round.strikes.reduce((sum, { fault }) => sum + fault.awayMs, 0)
  for (const [index, subject] of subjects.entries()) {
    const { slug } = subject.tenant
    const report = reports[index]
    if (report === undefined) continue
    subject.ledger = report.ledger
    const move = ended.find(({ id }) => id === started.get(subject)?.id)
    const found = goOn[index] ? [] : ['no write is acknowledged any more']
    if (report.longestPauseMs > FENCE_EXPIRY_MS + away + round.strikes.length * ALLOWANCE_MS) {
      found.push(`no write for ${Math.round(report.longestPauseMs)} ms`)
    }
    if (!round.strikes.some(({ fault }) => fault.hitsWriters) && report.failures.length > 0) {
      found.push(`${report.failures.length} writes failed: ${report.failures[0]}`)
    }
    if (move !== undefined) {
      subject.moves++
      found.push(...(await examineTenant(ground, subject.tenant, move, subject.content, report)))
      tell(
        `  ${slug}: ${move.phase}, ${report.acknowledged} writes, ${report.failures.length} failed, ` +
          `longest outage ${Math.round(report.longestPauseMs)} ms`,
      )
      if (found.length > 0) found.push(...move.events.map(({ phase, message }) => `  ${phase}: ${message}`))
    }
    problems.push(...found.map((problem) => `${slug}: ${problem}`))
  }
  if (ground.worker.deaths > deaths) problems.push('the worker has ended by itself')
  if (problems.length > 0) problems.push(...ground.worker.log.map((line) => `worker: ${line}`))
  return { ended, writes: reports.reduce((sum, { acknowledged }) => sum + acknowledged, 0), problems }
}

/** Starts a move, unless the planner has an objection: a target that cannot be is no fault. */
async function start(
  ground: FaultGround,
  { subject: { tenant }, target, changeStream, maxRowsPerSecond, window }: Wish,
  tell: (line: string) => void,
): Promise<Move | undefined> {
  try {
    const prepared = await planMove(ground.catalog, {
      tenantIdOrSlug: tenant.id,
      target,
      changeStream,
      rollbackWindowSeconds: window === undefined ? 0 : WINDOW_SECONDS,
      entrySecret: TEST_ENTRY_SECRET,
    })
    return await startMove(ground.catalog, prepared, { createdBy: 'chaos', terms: { maxRowsPerSecond } })
  } catch (error) {
    if (!isFreeholdError(error)) throw error
    tell(`  ${tenant.slug} does not move: ${error.code}`)
    return undefined
  }
}

async function strikeAll(
  ground: FaultGround,
  { strikes }: Round,
  allEnded: Promise<unknown>,
  signal: AbortSignal,
): Promise<void> {
  for (const strike of strikes) {
    signal.throwIfAborted()
    if ('at' in strike) {
      const stands = await ground.worker.stopAt(strike.at)
      await Promise.race([stands(AT_BARRIER_MS), allEnded])
    } else {
      await sleep(strike.afterMs)
    }
    await strike.fault.strike(ground)
    ground.worker.goOn()
    await sleep(strike.fault.awayMs)
    await strike.fault.mend(ground)
  }
}

/** Gives the orders of a wish. Whatever the catalog refuses, being past it or away, is not done. */
async function steer(
  ground: FaultGround,
  { cancelAfterMs, pause, window }: Wish,
  move: Move | undefined,
  allEnded: Promise<unknown>,
): Promise<void> {
  if (move === undefined) return
  const { operations } = ground.catalog
  const cancel = async () => {
    if (cancelAfterMs === undefined) return
    await sleep(cancelAfterMs)
    await operations.requestCancel(move.id).catch(() => undefined)
  }
  const pauseAndResume = async () => {
    if (pause === undefined) return
    await sleep(pause.afterMs)
    await operations.requestPause(move.id, 'chaos').catch(() => undefined)
    await sleep(pause.forMs)
    await untilDone(allEnded, async () => {
      await operations.resume(move.id, 'chaos')
      return true
    })
  }
  const endWindow = async () => {
    if (window === undefined) return
    let openedAt: number | undefined
    await untilDone(allEnded, async () => {
      const { phase, rollback, finishedAt } = await ground.catalog.moves.detail(move.id)
      if (phase !== 'soak') return finishedAt !== null
      openedAt ??= performance.now()
      if (performance.now() < openedAt + window.openMs) return false
      const back = window.endsAs === 'rolled back' && rollback?.state === 'open'
      await (back ? operations.requestRollback(move.id) : operations.requestFinalize(move.id))
      return false
    })
  }
  await Promise.all([cancel(), pauseAndResume(), endWindow()])
}

/** Tries again and again, until it is done or everything has ended. */
async function untilDone(allEnded: Promise<unknown>, attempt: () => Promise<boolean>): Promise<void> {
  let over = false
  const end = () => {
    over = true
  }
  allEnded.then(end, end)
  while (!over && !(await attempt().catch(() => false))) await sleep(STEER_EVERY_MS)
}

function describeRound({ moves, strikes }: Round): string {
  return [
    ...moves.map(describeWish),
    ...strikes.map((strike) =>
      'at' in strike
        ? `${strike.fault.name} at ${strike.at}`
        : `${strike.fault.name} after ${strike.afterMs} ms`,
    ),
  ].join('; ')
}

function describeWish({ subject, target, changeStream, ...wish }: Wish): string {
  const terms = [
    `by ${changeStream}`,
    ...(wish.maxRowsPerSecond === undefined ? [] : [`${wish.maxRowsPerSecond} rows/s`]),
    ...(wish.window === undefined ? [] : [`${wish.window.endsAs} after ${wish.window.openMs} ms`]),
    ...(wish.pause === undefined ? [] : [`paused after ${wish.pause.afterMs} ms for ${wish.pause.forMs} ms`]),
    ...(wish.cancelAfterMs === undefined ? [] : [`cancelled after ${wish.cancelAfterMs} ms`]),
  ]
  return `${subject.tenant.slug} to ${target.isolation} in ${target.region} (${terms.join(', ')})`
}
