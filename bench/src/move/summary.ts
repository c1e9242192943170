import { type JudgedBudget, judge, rounded } from '../moving/budget.ts'
import { phaseMedians } from '../moving/timed-move.ts'
import { median } from '../statistics.ts'
import type { EngineCopy } from './engine-copy.ts'
import type { PsqlCopy } from './psql-copy.ts'
import type { WholeMove } from './whole-move.ts'

/** Everything that was measured, round by round. */
export interface MoveMeasurements {
  readonly psql: readonly PsqlCopy[]
  readonly one: readonly EngineCopy[]
  readonly two: readonly EngineCopy[]
  /** Into a pool. */
  readonly psqlPool: readonly Pick<PsqlCopy, 'seconds' | 'rows'>[]
  readonly pool: readonly EngineCopy[]
  readonly moves: readonly WholeMove[]
}

/** What a benchmark of moves prints with `--json`. Ratios are medians over the rounds. */
export interface MoveSummary extends MoveMeasurements {
  readonly rows: number
  readonly bytes: number
  /** Speed of the engine's backfill with one stream as a ratio of the baseline's. */
  readonly copyRatio: number
  readonly copyRatio2: number
  /** The same into a pool, with one stream. */
  readonly copyRatioPool: number
  /** Time of the verification as a ratio of the time of the copy with one stream before it. */
  readonly verifyRatio: number
  /** The same with two streams. */
  readonly verifyRatio2: number
  readonly moveSeconds: number
  readonly switchedSeconds: number
  /** Of the backfill with one stream. */
  readonly rowsPerSecond: number
  readonly writesPerSecond: number
  readonly failed: number
  readonly lost: number
  readonly phases: Readonly<Record<string, number>>
  readonly budgets: readonly JudgedBudget[]
}

/** @throws Error when a write failed or was lost: nobody is fast by being wrong. */
export function summarize(measured: MoveMeasurements): MoveSummary {
  const { psql, one, two, psqlPool, pool, moves } = measured
  const first = one[0]
  if (first === undefined) throw new Error('nothing was measured')
  const speed = (engine: readonly EngineCopy[], baseline: readonly { readonly seconds: number }[]) =>
    median(engine.map(({ seconds }, round) => (baseline[round]?.seconds ?? Number.NaN) / seconds))
  const verify = (engine: readonly EngineCopy[]) =>
    median(engine.map(({ seconds, verifySeconds }) => verifySeconds / seconds))
  const [copyRatio, copyRatio2, copyRatioPool] = [speed(one, psql), speed(two, psql), speed(pool, psqlPool)]
  const verifyRatio = verify(one)
  const moveSeconds = median(moves.map(({ seconds }) => seconds))
  const failed = sum(moves.map((move) => move.failed))
  const lost = sum(moves.map((move) => move.lost))
  if (failed + lost > 0) throw new Error(`${failed} requests failed and ${lost} writes were lost`)
  return {
    rows: first.rows,
    bytes: first.bytes,
    copyRatio: rounded(copyRatio),
    copyRatio2: rounded(copyRatio2),
    copyRatioPool: rounded(copyRatioPool),
    verifyRatio: rounded(verifyRatio),
    verifyRatio2: rounded(verify(two)),
    moveSeconds: rounded(moveSeconds),
    switchedSeconds: rounded(median(moves.map((move) => move.switchedSeconds))),
    rowsPerSecond: Math.round(first.rows / median(one.map(({ seconds }) => seconds))),
    writesPerSecond: Math.round(Math.min(...moves.map((move) => move.writesPerSecond))),
    failed,
    lost,
    phases: phaseMedians(moves.map(({ phases }) => phases)),
    budgets: judge([
      { name: 'backfill, one stream, against psql', measured: copyRatio, atLeast: 0.9 },
      { name: 'backfill, two streams, against psql', measured: copyRatio2, atLeast: 1.4 },
      { name: 'backfill into a pool, against psql', measured: copyRatioPool, atLeast: 0.9 },
      { name: 'verification, of the time of the copy', measured: verifyRatio, atMost: 0.25 },
      { name: 'the whole move under writes, in seconds', measured: moveSeconds, atMost: 2.5 },
    ]),
    ...measured,
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
