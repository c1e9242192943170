import { budgetLine, type JudgedBudget, judge, rounded } from '../moving/budget.ts'
import { phaseMedians, type TimedPhases } from '../moving/timed-move.ts'
import { median } from '../statistics.ts'
import { table } from '../table.ts'
import type { EngineMove } from './turns.ts'

/** Everything that was measured, round by round. */
export interface DatabaseMeasurements {
  readonly rows: number
  readonly engine: readonly EngineMove[]
  /** Seconds; empty without pgcopydb. */
  readonly pgcopydb: readonly number[]
}

/** What the benchmark prints with `--json`. Medians over the rounds. */
export interface DatabaseSummary extends DatabaseMeasurements {
  /** Speed of the engine's move, until the new home, as a ratio of pgcopydb's; null without pgcopydb. */
  readonly databaseRatio: number | null
  readonly moveSeconds: number
  readonly pgcopydbSeconds: number | null
  readonly removedSeconds: number
  readonly phases: TimedPhases
  readonly budgets: readonly JudgedBudget[]
}

export function summarize(measured: DatabaseMeasurements): DatabaseSummary {
  const { engine, pgcopydb } = measured
  const compared = pgcopydb.length > 0
  const ratio = median(engine.map(({ seconds }, round) => (pgcopydb[round] ?? Number.NaN) / seconds))
  return {
    databaseRatio: compared ? rounded(ratio) : null,
    moveSeconds: rounded(median(engine.map(({ seconds }) => seconds))),
    pgcopydbSeconds: compared ? rounded(median(pgcopydb)) : null,
    removedSeconds: rounded(median(engine.map(({ removedSeconds }) => removedSeconds))),
    phases: phaseMedians(engine.map(({ phases }) => phases)),
    budgets: compared
      ? judge([{ name: 'a whole database, against pgcopydb', measured: ratio, atLeast: 1.5 }])
      : [],
    ...measured,
  }
}

/** What was measured, for people. */
export function databaseReport(summary: DatabaseSummary): string {
  const { rows, engine, databaseRatio, moveSeconds, pgcopydbSeconds, removedSeconds, phases } = summary
  return [
    `A database with ${rows} rows of a tenant, medians of ${engine.length}:`,
    table(
      ['whole database', 'seconds', 'to pgcopydb'],
      [
        ...(pgcopydbSeconds === null ? [] : [['pgcopydb clone', `${pgcopydbSeconds.toFixed(2)} s`, '1.00x']]),
        [
          "the engine's move",
          `${moveSeconds.toFixed(2)} s`,
          databaseRatio === null ? '' : `${databaseRatio}x`,
        ],
      ],
    ),
    '',
    `Of a move, whose source was removed after ${removedSeconds} s:`,
    table(Object.keys(phases), [Object.values(phases).map((seconds) => `${seconds.toFixed(2)} s`)]),
    '',
    ...summary.budgets.map(budgetLine),
  ].join('\n')
}
