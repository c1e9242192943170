import { budgetLine } from '../moving/budget.ts'
import { ms, table } from '../table.ts'
import { histogram } from './histogram.ts'
import type { PauseSummary } from './summary.ts'

/** What was measured, for people. */
export function pauseReport(summary: PauseSummary): string {
  const { pauseMs, readPauseMs, quietPauseMs, quietReadPauseMs, engineMs, neighbours } = summary
  const rows = [
    { what: 'writes, at the switch', of: pauseMs },
    { what: 'writes, before the move', of: quietPauseMs },
    { what: 'reads, at the switch', of: readPauseMs },
    { what: 'reads, before the move', of: quietReadPauseMs },
    { what: "fence to announcement, by the engine's clock", of: engineMs },
  ]
  return [
    `${summary.moves} moves under ${summary.writesPerSecond} writes a second or more; ${summary.calledOff} switches were called off and tried again.`,
    table(
      ['longest time without an answer', 'p50 ms', 'p99 ms', 'max ms'],
      rows.map(({ what, of }) => [what, ms(of.p50), ms(of.p99), ms(of.max)]),
    ),
    '',
    'Write pauses:',
    histogram(summary.pauses),
    '',
    'Steps of the switch, and the first write at the new home, medians:',
    table(Object.keys(summary.stepsMs), [Object.values(summary.stepsMs).map((took) => `${ms(took)} ms`)]),
    '',
    `Neighbours' p99: ${ms(neighbours.p99BeforeMs)} ms before moves, ${ms(neighbours.p99DuringMs)} ms during moves, ` +
      `${ms(neighbours.p99BesideBurnerMs)} ms beside a process that only uses a processor. By phase:`,
    table(Object.keys(neighbours.p99ByPhaseMs), [
      Object.values(neighbours.p99ByPhaseMs).map((took) => `${ms(took)} ms`),
    ]),
    ...summary.samples.map((sample) => `  ${sample}`),
    ...summary.budgets.map(budgetLine),
  ].join('\n')
}
