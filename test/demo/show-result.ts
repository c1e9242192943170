import { formatBytes, formatCount, formatDecimal } from './format.ts'
import type { DemoResult } from './run-demo.ts'

/** The table with which the demo ends, and its verdict. */
export function showResult({ report, problems, move, traffic, proof }: DemoResult): string {
  const rows: (readonly [string, string])[] = []
  for (const { tenant, from, to, rows: copied, bytes, seconds, writePauseMs, readPauseMs } of report.moves) {
    const rate = seconds.backfill > 0 ? `, ${formatCount(copied / seconds.backfill)} rows/s` : ''
    const { verification, changesApplied } = move.progress
    rows.push(
      ['moved', `${tenant}, from ${from} to ${to}, in ${formatDecimal(seconds.total)} s`],
      [
        'copied',
        `${formatCount(copied)} rows, ${formatBytes(bytes)}, in ${formatDecimal(seconds.backfill)} s${rate}`,
      ],
      ['carried over', `${formatCount(changesApplied)} changes made meanwhile`],
      [
        'verified',
        `${formatCount(verification?.rows ?? 0)} rows on both sides, ${verification?.mismatches ?? '?'} differences, in ${formatDecimal(seconds.verify)} s`,
      ],
      [
        'pause',
        `writes ${formatDecimal(writePauseMs)} ms, reads ${formatDecimal(readPauseMs)} ms, as clients saw it`,
      ],
    )
  }
  const { read, write, transaction } = traffic.latencies
  rows.push(
    [
      'traffic',
      `${formatCount(traffic.requests)} requests, ${formatCount(traffic.rps)}/s, ${traffic.failed} failed`,
    ],
    [
      'latency p50/p99',
      `${latency('reads', read)}, ${latency('writes', write)}, ${latency('transactions', transaction)}`,
    ],
    [
      'proof',
      `${formatCount(proof.rows)} rows against ${formatCount(traffic.writesAcknowledged)} acknowledged writes: ` +
        `${proof.writesLost} lost, ${proof.writesDuplicated} duplicated, ${proof.rowsWrong} wrong, ${report.traffic.foreignRows} foreign`,
    ],
  )
  const width = Math.max(...rows.map(([name]) => name.length))
  const table = rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`).join('\n')
  const verdict = report.ok
    ? `The proof holds. ${formatDecimal(report.seconds)} s in all.`
    : `NOT ok:\n${problems.map((problem) => `  ${problem}`).join('\n')}`
  return `\n${table}\n\n${verdict}\n`
}

function latency(name: string, { p50Ms, p99Ms }: { p50Ms: number; p99Ms: number }): string {
  return `${name} ${formatDecimal(p50Ms)}/${formatDecimal(p99Ms)} ms`
}
