import { budgetLine } from '../moving/budget.ts'
import { median } from '../statistics.ts'
import { table } from '../table.ts'
import type { MoveSummary } from './summary.ts'

/** What was measured, for people. */
export function moveReport(summary: MoveSummary): string {
  const { rows, bytes, psql, one, two, psqlPool, pool, phases } = summary
  return [
    `${rows} rows, ${(bytes / 1e6).toFixed(0)} MB in binary, medians of ${psql.length}:`,
    table(
      ['copy', 'seconds', 'to the last row', 'after it', 'to psql', 'verification', 'of the copy'],
      [
        ['psql to psql', ...times(psql), '1.00x', '', ''],
        ['engine, one stream', ...times(one), `${summary.copyRatio}x`, ...verified(one, summary.verifyRatio)],
        [
          'engine, two streams',
          ...times(two),
          `${summary.copyRatio2}x`,
          ...verified(two, summary.verifyRatio2),
        ],
        ['psql, into a pool', seconds(psqlPool), '', '', '1.00x', '', ''],
        [
          'engine, into a pool',
          ...times(pool),
          `${summary.copyRatioPool}x`,
          `${median(pool.map(({ verifySeconds }) => verifySeconds)).toFixed(2)} s`,
          '',
        ],
      ],
    ),
    `Of psql's seconds ${median(psql.map(({ startSeconds }) => startSeconds)).toFixed(2)} s are the starting of its programs.`,
    '',
    `A whole move under ${summary.writesPerSecond} writes a second or more, median of ${summary.moves.length}: ` +
      `${summary.moveSeconds} s, of which ${summary.switchedSeconds} s to the new home.`,
    table(Object.keys(phases), [Object.values(phases).map((seconds) => `${seconds.toFixed(2)} s`)]),
    '',
    ...summary.budgets.map(budgetLine),
  ].join('\n')
}

function seconds(copies: readonly { readonly seconds: number }[]): string {
  return `${median(copies.map((copy) => copy.seconds)).toFixed(2)} s`
}

interface Copied {
  readonly seconds: number
  readonly copySeconds: number
}

function times(copies: readonly Copied[]): string[] {
  const columns = [
    copies.map(({ seconds }) => seconds),
    copies.map(({ copySeconds }) => copySeconds),
    copies.map(({ seconds, copySeconds }) => seconds - copySeconds),
  ]
  return columns.map((seconds) => `${median(seconds).toFixed(2)} s`)
}

function verified(copies: readonly { readonly verifySeconds: number }[], ratio: number): string[] {
  return [`${median(copies.map(({ verifySeconds }) => verifySeconds)).toFixed(2)} s`, ratio.toFixed(2)]
}
