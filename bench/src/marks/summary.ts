import { rounded } from '../moving/budget.ts'
import { median } from '../statistics.ts'
import { table } from '../table.ts'
import { type IsolationLevel, isolationLevels, type MarkKind, markKinds } from './ground.ts'

/** Microseconds of a transaction. */
export type Round = Readonly<Record<IsolationLevel, Readonly<Record<MarkKind, number>>>>

interface MarksMeasurements {
  /** Transactions a turn. */
  readonly writes: number
  readonly rounds: readonly Round[]
}

/** What the benchmark prints with `--json`. */
interface MarksSummary extends MarksMeasurements {
  readonly rows: readonly {
    readonly isolation: IsolationLevel
    readonly mark: MarkKind
    /** The median of the rounds. */
    readonly microseconds: number
    /** The median of the ratios within each round. */
    readonly ratioToNew: number
  }[]
}

export function summarize(measured: MarksMeasurements): MarksSummary {
  const rows = isolationLevels.flatMap((isolation) =>
    markKinds.map((mark) => {
      const rounds = measured.rounds.map((round) => round[isolation])
      return {
        isolation,
        mark,
        microseconds: rounded(median(rounds.map((taken) => taken[mark]))),
        ratioToNew: rounded(median(rounds.map((taken) => taken[mark] / taken.new))),
      }
    }),
  )
  return { rows, ...measured }
}

/** What was measured, for people. */
export function marksReport({ writes, rounds, rows }: MarksSummary): string {
  return [
    `Transactions of one insert, ${writes} a turn, medians of ${rounds.length} rounds:`,
    table(
      ['isolation', 'mark', 'µs a transaction', 'to a new mark'],
      rows.map(({ isolation, mark, microseconds, ratioToNew }) => [
        isolation,
        mark,
        microseconds.toFixed(1),
        `${ratioToNew.toFixed(2)}x`,
      ]),
    ),
  ].join('\n')
}
