import type { Tenant } from '@freehold/contract'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { type MovingGround, prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import type { Interval } from '../../../test/load/index.ts'
import { count, parseOptions } from '../moving/parse.ts'
import { seededTenant, settlePools } from '../moving/seeded-tenant.ts'
import { note, print } from '../print.ts'
import { spawnTraffic } from '../traffic/spawn-traffic.ts'
import type { Traffic } from '../traffic/traffic.ts'
import { besideBurner, measureCutover, type TenantLoad } from './cutover.ts'
import { pauseReport } from './report.ts'
import { type Cutover, type PauseMeasurements, summarize } from './summary.ts'

interface Plan {
  readonly moves: number
  /** Of each tenant that moves. */
  readonly rows: number
  /** Traffic before each move. */
  readonly beforeMs: number
  /** Of each tenant that moves. */
  readonly load: TenantLoad
}

/** Sent a little more often than the budget says: a pause takes its share. */
const LOAD: TenantLoad = { writesPerSecond: 560, readsPerSecond: 200 }
const FULL: Plan = { moves: 50, rows: 5_000, beforeMs: 1_000, load: LOAD }
/** Enough to see that everything works; too short, and with too little to do, to tell anything. */
const QUICK: Plan = {
  moves: 2,
  rows: 200,
  beforeMs: 100,
  load: { writesPerSecond: 80, readsPerSecond: 40 },
}

/** How often as long as the traffic before a move. */
const BURNER_TURNS = 5
const NEIGHBOURS = 2
const NEIGHBOUR_ROWS = 20_000
const QUICK_NEIGHBOUR_ROWS = 200
const NEIGHBOUR_WRITES_PER_SECOND = 50
const NEIGHBOUR_READS_PER_SECOND = 100

/**
 * Measures for how long a cutover keeps clients waiting: moves one tenant after the other from a pool to a silo while
 * it is written and read, and so are two neighbours, and prints what the clients saw.
 *
 * @throws BadArguments, or an Error when a move or a request failed or a write was lost.
 */
export async function runPauseBench(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { json, quick, moves, rows } = parseOptions(args, {
    moves: count(1, 10_000),
    rows: count(100, 1_000_000),
  })
  const defaults = quick ? QUICK : FULL
  const plan = { ...defaults, moves: moves ?? defaults.moves, rows: rows ?? defaults.rows }
  const summary = summarize(await measure(plan, quick ? QUICK_NEIGHBOUR_ROWS : NEIGHBOUR_ROWS, signal))
  print(pauseReport(summary))
  if (json) print(JSON.stringify(summary))
  const { failed, lost } = summary
  if (failed + lost > 0) throw new Error(`${failed} requests failed and ${lost} writes were lost`)
}

async function measure(plan: Plan, neighbourRows: number, signal: AbortSignal): Promise<PauseMeasurements> {
  note('starting two servers')
  const ground = await prepareMovingGround()
  const traffic = spawnTraffic()
  try {
    const neighbours = []
    for (let number = 0; number < NEIGHBOURS; number++) {
      signal.throwIfAborted()
      neighbours.push(await seededTenant(ground, `neighbour-${number}`, neighbourRows))
    }
    await settlePools(ground)
    return await measureMoves({ ground, traffic, neighbours, plan, signal })
  } finally {
    await traffic.close()
    await ground.remove()
  }
}

interface Scene {
  readonly ground: MovingGround
  readonly traffic: Traffic
  readonly neighbours: readonly Tenant[]
  readonly plan: Plan
  readonly signal: AbortSignal
}

async function measureMoves({
  ground,
  traffic,
  neighbours,
  plan,
  signal,
}: Scene): Promise<PauseMeasurements> {
  const catalog = ground.us.as('freehold_reader', 'freehold_catalog')
  for (const tenant of neighbours) {
    await traffic.begin({
      tenant,
      catalog,
      writesPerSecond: NEIGHBOUR_WRITES_PER_SECOND,
      readsPerSecond: NEIGHBOUR_READS_PER_SECOND,
    })
  }
  const cutovers: Cutover[] = []
  const before: number[] = []
  const during: number[] = []
  const byPhase: Record<string, number[]> = {}
  const collect = async (into: number[], interval: Interval) => {
    for (const { id } of neighbours) into.push(...(await traffic.latencies(id, interval)))
  }
  for (let number = 0; number < plan.moves; number++) {
    if (number % 10 === 0) note(`moving ${number + 1} of ${plan.moves}`)
    const tenant = await seededTenant(ground, `moving-${number}`, plan.rows)
    const measured = await measureCutover(ground, traffic, tenant, plan.load, plan.beforeMs, signal)
    cutovers.push(measured.cutover)
    await collect(before, measured.before)
    await collect(during, measured.during)
    for (const [phase, span] of Object.entries(measured.spans)) {
      byPhase[phase] ??= []
      await collect(byPhase[phase], span)
    }
  }
  note('the same traffic beside a process that uses a processor')
  const resting = await seededTenant(ground, 'resting', plan.rows)
  const burnerMs = plan.beforeMs * BURNER_TURNS
  const beside: number[] = []
  await collect(beside, await besideBurner(ground, traffic, resting, plan.load, burnerMs, signal))
  const home = asSuperuser(ground.us.cluster, 'pool')
  const reports = []
  for (const { id } of neighbours) reports.push(await traffic.end(id, home))
  return {
    cutovers,
    neighbours: {
      before,
      during,
      byPhase,
      besideBurner: beside,
      failures: reports.flatMap(({ failures }) => failures),
      differences: reports.flatMap(({ differences }) => differences),
    },
  }
}
