import { setTimeout as sleep } from 'node:timers/promises'
import type { MoveDetail } from '@freehold/contract'
import { type StackOptions, startTemporaryStack, type TemporaryStack } from '@freehold/local/stack'
import { ControlClient } from '../kit/control-client.ts'
import {
  type Interval,
  type Load,
  type LoadProgress,
  type LoadReport,
  type ProofReport,
  spawnLoad,
} from '../load/index.ts'
import { type DemoReport, demoReportSchema } from './demo-report.ts'
import { type DemoTenant, homeOf, makeMovingTenant, makeNeighbours } from './demo-tenants.ts'
import { findProblems } from './find-problems.ts'
import { followMove, type MoveObserver } from './follow-move.ts'

export interface DemoOptions {
  /** Rows with which the tenant that moves is loaded. */
  readonly rows: number
  /** For how long there is traffic before the move begins, and again after it has ended. */
  readonly seconds: number
  /** Gives the demo up; nothing stays behind. */
  readonly signal: AbortSignal
  readonly observer: DemoObserver
  /** Runs beside the move: a test ends processes or databases here. */
  readonly duringMove?: (disturbance: {
    readonly stack: TemporaryStack
    readonly moveId: string
  }) => Promise<void>
  /** Of the stack, for tests. */
  readonly stack?: Pick<StackOptions, 'worker' | 'redisUrl' | 'durability' | 'log'>
}

/** What can be seen of the demo while it runs. */
export interface DemoObserver extends MoveObserver {
  /** Something that takes a while begins. */
  step(text: string): void
  traffic(progress: LoadProgress): void
}

export interface DemoResult {
  readonly report: DemoReport
  /** Why the report is not ok, in sentences; empty when it is. */
  readonly problems: readonly string[]
  readonly move: MoveDetail
  readonly traffic: LoadReport
  readonly proof: ProofReport
}

const NEIGHBOURS = 19
const REQUESTS_PER_SECOND = 450
/** The tenant that moves gets half of the traffic: how long its writes pause is to be seen. */
const MOVING_CLIENTS = 19
const TRAFFIC_INTERVAL_MS = 200
/** What a move may take before it counts as stuck, and what is added for its rows. */
const MOVE_PATIENCE_MS = 60_000
const ROWS_PER_SECOND = 5_000

/**
 * The main job of Freehold, from an empty machine to the proof: starts a stack of its own, creates tenants, moves
 * one of them to another region under traffic, and holds every row against what the clients were told. Removes the
 * stack afterwards, whatever happens.
 *
 * @returns also when the move failed or the proof does not hold: the report says so.
 * @throws what keeps the demo from getting as far as a report, and the reason of the signal.
 */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const startedAt = performance.now()
  options.observer.step('Starting two PostgreSQL clusters, control API, worker and product API')
  const stack = await startTemporaryStack('demo', { ...options.stack, signal: options.signal })
  try {
    const control = new ControlClient(stack.urls.controlApi, stack.operatorToken())
    options.observer.step(`Creating ${NEIGHBOURS + 1} tenants`)
    const neighbours = await makeNeighbours(stack, control, NEIGHBOURS)
    options.signal.throwIfAborted()
    options.observer.step(`Loading acme with ${options.rows.toLocaleString('en-US')} rows`)
    const moving = await makeMovingTenant(stack, control, options.rows)
    options.signal.throwIfAborted()
    return await moveUnderTraffic({ ...options, stack, control, moving, neighbours, startedAt })
  } finally {
    await stack.remove()
  }
}

interface Scene extends Omit<DemoOptions, 'stack'> {
  readonly stack: TemporaryStack
  readonly control: ControlClient
  readonly moving: DemoTenant
  readonly neighbours: readonly DemoTenant[]
  readonly startedAt: number
}

async function moveUnderTraffic(scene: Scene): Promise<DemoResult> {
  const { observer, signal, seconds, moving } = scene
  observer.step(`Sending requests for all tenants, ${seconds} s before the move`)
  const load = await startTraffic(scene)
  const stopReporting = reportTraffic(load, observer)
  try {
    await sleep(seconds * 1000, undefined, { signal })
    observer.step('Moving acme to a database of its own in eu')
    const move = await promote(scene)
    observer.step(`Sending requests for another ${seconds} s`)
    await sleep(seconds * 1000, undefined, { signal })
    const traffic = await load.stop()
    stopReporting()

    observer.step('Comparing every row with what the clients were told')
    const pause = await load.pause(moving.tenant.id, switchWindow(move))
    const homes = await readHomes(scene)
    const proof = await load.prove({ homes })
    signal.throwIfAborted()
    const problems = findProblems(move, traffic, proof)
    const report = demoReportSchema.parse({
      ok: problems.length === 0,
      moves: [describeMove(move, pause)],
      traffic: describeTraffic(traffic, proof),
      seconds: rounded((performance.now() - scene.startedAt) / 1000),
    })
    return { report, problems, move, traffic, proof }
  } finally {
    stopReporting()
    await load.close()
  }
}

function startTraffic({ stack, moving, neighbours }: Scene): Promise<Load> {
  const inTraffic = ({ tenant, seed }: DemoTenant, clients: number) => ({
    id: tenant.id,
    token: stack.productToken(tenant.id),
    seed,
    clients,
  })
  return spawnLoad({
    baseUrl: stack.urls.productApi,
    tenants: [inTraffic(moving, MOVING_CLIENTS), ...neighbours.map((tenant) => inTraffic(tenant, 1))],
    requestsPerSecond: REQUESTS_PER_SECOND,
    seed: moving.seed.seed,
  })
}

/** @returns ends the reports. */
function reportTraffic(load: Load, observer: DemoObserver): () => void {
  let ended = false
  const report = async () => {
    const progress = await load.progress()
    if (!ended) observer.traffic(progress)
  }
  const timer = setInterval(() => void report().catch(() => end()), TRAFFIC_INTERVAL_MS)
  const end = () => {
    ended = true
    clearInterval(timer)
  }
  return end
}

async function promote(scene: Scene): Promise<MoveDetail> {
  const { stack, control, moving, observer, signal } = scene
  const { id: moveId } = await control.startMove({
    tenant: moving.tenant.slug,
    target: { isolation: 'silo', region: 'eu' },
  })
  const patienceMs = MOVE_PATIENCE_MS + (moving.seed.rows / ROWS_PER_SECOND) * 1000
  const [move] = await Promise.all([
    followMove(control, moveId, { patienceMs, observer, signal }),
    scene.duringMove?.({ stack, moveId }),
  ])
  return move
}

/** Where the tenants live now, as the catalog says. */
async function readHomes({ stack, control, moving, neighbours }: Scene) {
  const homes = []
  for (const { tenant } of [moving, ...neighbours]) {
    homes.push({ tenantId: tenant.id, database: homeOf(stack, await control.tenant(tenant.id)) })
  }
  return homes
}

/** From the first attempt to switch to the end of the last. */
function switchWindow(move: MoveDetail): Interval {
  const instants = move.events.map(({ phase, at }) => ({ phase, at: Date.parse(at) }))
  const begin = instants.find(({ phase }) => phase === 'cutover')
  const end = instants.findLast(({ phase }) => phase === 'finalize') ?? instants.at(-1)
  return { from: begin?.at ?? 0, to: end?.at ?? 0 }
}

function describeMove(move: MoveDetail, pause: { writePauseMs: number; readPauseMs: number }) {
  const { from, to, progress } = move
  const { backfill, verify, total } = progress.seconds
  return {
    tenant: move.tenant.slug,
    from: `${from.cluster}/${from.database}`,
    to: `${to.cluster}/${to.database}`,
    rows: progress.rowsCopied,
    bytes: progress.bytesCopied,
    seconds: { backfill: rounded(backfill ?? 0), verify: rounded(verify ?? 0), total: rounded(total ?? 0) },
    writePauseMs: rounded(pause.writePauseMs),
    readPauseMs: rounded(pause.readPauseMs),
  }
}

function describeTraffic(traffic: LoadReport, proof: ProofReport) {
  return {
    requests: traffic.requests,
    failed: traffic.failed,
    writesAcknowledged: traffic.writesAcknowledged,
    writesLost: proof.writesLost + proof.rowsWrong,
    writesDuplicated: proof.writesDuplicated,
    foreignRows: proof.foreignRows + traffic.foreignRows,
  }
}

/** To two digits after the point. */
function rounded(value: number): number {
  return Math.round(value * 100) / 100
}
