import { ms, table } from '../table.ts'
import type { JudgedBudget } from './budgets.ts'
import type { MeasuredDelay, Row } from './result.ts'

const HEADINGS = [
  'case',
  'connections',
  'delay ms',
  'system',
  'qps',
  'p50 ms',
  'p99 ms',
  'to plain',
  'to set-config',
  'client CPU µs',
  'server CPU µs',
] as const

/** The rows as a table in Markdown. */
export function rowsTable(rows: readonly Row[]): string {
  return table(
    HEADINGS,
    rows.map((row) => [
      row.case,
      `${row.connections}`,
      `${row.delayMs}`,
      row.system,
      row.qps.toFixed(0),
      ms(row.p50Ms),
      ms(row.p99Ms),
      times(row.ratioToPlain),
      times(row.ratioToSetConfig),
      row.clientCpuUs.toFixed(0),
      row.serverCpuUs?.toFixed(0) ?? '',
    ]),
  )
}

export function delayLine({ delayMs, roundTripMs }: MeasuredDelay): string {
  return `With ${delayMs} ms added each way the smallest query takes ${ms(roundTripMs)} ms.`
}

export function budgetLine({ name, atLeast, measured, met }: JudgedBudget): string {
  return `${met ? 'met    ' : 'NOT MET'}  ${name}: ${times(measured)}, wanted ${times(atLeast)} or more`
}

function times(ratio: number | null): string {
  return ratio === null ? '' : `${ratio.toFixed(2)}x`
}
