import { percentile } from '../../../test/load/measure/percentile.ts'
import { type JudgedBudget, judge, rounded } from '../moving/budget.ts'
import { median } from '../statistics.ts'

/** One move, as the clients saw it. */
export interface Cutover {
  /** The longest time, touching the switch, without an acknowledged write of the tenant, ms. */
  readonly writePauseMs: number
  readonly readPauseMs: number
  /** The same over as long a window before the move: what the measure shows when there is nothing to see. */
  readonly quietWritePauseMs: number
  readonly quietReadPauseMs: number
  /** From the fence to the announcement, as the engine says, ms. */
  readonly engineMs: number
  /** What each step of the switch took, ms, and then the first write at the new home. */
  readonly stepsMs: Readonly<Record<string, number>>
  readonly attempts: number
  /** To the moving tenant, from the request of the move to its end. */
  readonly writesPerSecond: number
  readonly failures: readonly string[]
  readonly differences: readonly string[]
}

export interface PauseMeasurements {
  readonly cutovers: readonly Cutover[]
  readonly neighbours: {
    /** Latencies of all neighbours' requests, ms. */
    readonly before: readonly number[]
    readonly during: readonly number[]
    readonly byPhase: Readonly<Record<string, readonly number[]>>
    /** While nothing was moved, and a process used a processor. */
    readonly besideBurner: readonly number[]
    readonly failures: readonly string[]
    readonly differences: readonly string[]
  }
}

interface Distribution {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** What `npm run bench -- pause --json` prints. */
export interface PauseSummary {
  readonly moves: number
  readonly pauseMs: Distribution
  readonly readPauseMs: Distribution
  readonly quietPauseMs: Distribution
  readonly quietReadPauseMs: Distribution
  readonly engineMs: Distribution
  /** Medians. */
  readonly stepsMs: Readonly<Record<string, number>>
  /** Switches that were called off and tried again. */
  readonly calledOff: number
  /** The fewest of any move. */
  readonly writesPerSecond: number
  /** Requests of the moving tenants and their neighbours. */
  readonly failed: number
  readonly lost: number
  readonly neighbours: {
    readonly p99BeforeMs: number
    readonly p99DuringMs: number
    readonly ratio: number
    readonly p99ByPhaseMs: Readonly<Record<string, number>>
    readonly p99BesideBurnerMs: number
  }
  readonly budgets: readonly JudgedBudget[]
  /** Examples of what failed or was lost. */
  readonly samples: readonly string[]
  readonly pauses: readonly number[]
}

const SAMPLES = 10

export function summarize({ cutovers, neighbours }: PauseMeasurements): PauseSummary {
  const each = (value: (cutover: Cutover) => number) => cutovers.map(value)
  const pauses = each((cutover) => cutover.writePauseMs)
  const pauseMs = distribution(pauses)
  const failures = [...cutovers.flatMap((cutover) => cutover.failures), ...neighbours.failures]
  const differences = [...cutovers.flatMap((cutover) => cutover.differences), ...neighbours.differences]
  const [before, during] = [percentile(neighbours.before, 0.99), percentile(neighbours.during, 0.99)]
  const writesPerSecond = Math.round(Math.min(...each((cutover) => cutover.writesPerSecond)))
  return {
    moves: cutovers.length,
    pauseMs,
    readPauseMs: distribution(each((cutover) => cutover.readPauseMs)),
    quietPauseMs: distribution(each((cutover) => cutover.quietWritePauseMs)),
    quietReadPauseMs: distribution(each((cutover) => cutover.quietReadPauseMs)),
    engineMs: distribution(each((cutover) => cutover.engineMs)),
    stepsMs: stepMedians(cutovers),
    calledOff: each((cutover) => cutover.attempts - 1).reduce((sum, attempts) => sum + attempts, 0),
    writesPerSecond,
    failed: failures.length,
    lost: differences.length,
    neighbours: {
      p99BeforeMs: rounded(before),
      p99DuringMs: rounded(during),
      ratio: rounded(during / before),
      p99ByPhaseMs: Object.fromEntries(
        Object.entries(neighbours.byPhase).map(([phase, took]) => [phase, rounded(percentile(took, 0.99))]),
      ),
      p99BesideBurnerMs: rounded(percentile(neighbours.besideBurner, 0.99)),
    },
    budgets: judge([
      { name: 'write pause, p50, in ms', measured: pauseMs.p50, atMost: 15 },
      { name: 'write pause, p99, in ms', measured: pauseMs.p99, atMost: 50 },
      { name: 'write pause, longest, in ms', measured: pauseMs.max, atMost: 100 },
      { name: 'failed requests', measured: failures.length, atMost: 0 },
      { name: 'lost writes', measured: differences.length, atMost: 0 },
      { name: "neighbours' p99 during a move, of before", measured: during / before, atMost: 1.2 },
      { name: 'writes a second to the moving tenant', measured: writesPerSecond, atLeast: 500 },
    ]),
    samples: [...failures, ...differences].slice(0, SAMPLES),
    pauses: pauses.map(rounded),
  }
}

function stepMedians(cutovers: readonly Cutover[]): Record<string, number> {
  const names = Object.keys(cutovers[0]?.stepsMs ?? {})
  return Object.fromEntries(
    names.map((name) => [name, rounded(median(cutovers.map(({ stepsMs }) => stepsMs[name] ?? Number.NaN)))]),
  )
}

function distribution(values: readonly number[]): Distribution {
  const at = (share: number) => rounded(percentile(values, share))
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}
