import type { Move, MoveEvent, MovePhase } from '@freehold/contract'
import type { LoadProgress } from '../load/index.ts'
import { formatBytes, formatCount, formatDecimal } from './format.ts'
import type { DemoObserver } from './run-demo.ts'

const BAR_WIDTH = 24
/** How often what goes on is told where nothing can be drawn over. */
const LINE_INTERVAL_MS = 1_000
const RATE_WINDOW_MS = 1_500
const CLEAR_LINE = '\r\x1b[2K'

/** Shows the demo as it runs: lines for what has begun, and for what goes on one line that keeps changing. */
export class ProgressDisplay implements DemoObserver {
  readonly #output: NodeJS.WriteStream
  readonly #startedAt = performance.now()
  #move: Move | undefined
  #traffic: LoadProgress | undefined
  #samples: { readonly at: number; readonly requests: number }[] = []
  #lineAt = 0

  constructor(output: NodeJS.WriteStream) {
    this.#output = output
  }

  step(text: string): void {
    this.#print(text)
  }

  event({ tenant }: Move, { phase, message }: MoveEvent): void {
    this.#print(`  ${tenant.slug}  ${phase.padEnd(12)}  ${message}`)
  }

  progress(move: Move): void {
    this.#move = move.finishedAt === null ? move : undefined
    this.#show()
  }

  traffic(traffic: LoadProgress): void {
    const at = performance.now()
    this.#traffic = traffic
    this.#samples = this.#samples.filter((sample) => at - sample.at < RATE_WINDOW_MS)
    this.#samples.push({ at, requests: traffic.requests })
    this.#show()
  }

  /** Ends the line that keeps changing. */
  close(): void {
    if (this.#output.isTTY) this.#output.write(CLEAR_LINE)
  }

  #print(text: string): void {
    this.close()
    const seconds = formatDecimal((performance.now() - this.#startedAt) / 1000)
    this.#output.write(`${seconds.padStart(6)} s  ${text}\n`)
  }

  #show(): void {
    const parts = [
      ...(this.#move === undefined ? [] : [describeMove(this.#move)]),
      ...this.#describeTraffic(),
    ]
    if (parts.length === 0) return
    if (this.#output.isTTY) {
      const line = `          ${parts.join('   ')}`.slice(0, this.#output.columns - 1)
      this.#output.write(`${CLEAR_LINE}${line}`)
    } else if (performance.now() - this.#lineAt > LINE_INTERVAL_MS) {
      this.#lineAt = performance.now()
      this.#print(`  ${parts.join(', ')}`)
    }
  }

  #describeTraffic(): string[] {
    const [first, last] = [this.#samples.at(0), this.#samples.at(-1)]
    if (this.#traffic === undefined || first === undefined || last === undefined || first === last) return []
    const rate = ((last.requests - first.requests) / (last.at - first.at)) * 1000
    return [`${formatCount(rate)} requests/s`, `${formatCount(this.#traffic.failed)} failed`]
  }
}

const COPYING: readonly MovePhase[] = ['dual_write', 'backfill']
/** After the switch nothing is carried over any more. */
const SWITCHED: readonly MovePhase[] = ['finalize', 'completed']

function describeMove({ phase, progress }: Move): string {
  const { rowsCopied, rowsEstimated, rowsPerSecond, lagBytes } = progress
  const lag = lagBytes === null || SWITCHED.includes(phase) ? '' : `, lag ${formatBytes(lagBytes)}`
  if (!COPYING.includes(phase) || rowsEstimated === 0) return `${phase}${lag}`
  const share = Math.min(1, rowsCopied / rowsEstimated)
  const filled = Math.round(share * BAR_WIDTH)
  const bar = `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}`
  const rate = rowsPerSecond === null ? '' : `, ${formatCount(rowsPerSecond)} rows/s`
  return `${phase} ${bar} ${formatCount(rowsCopied)} of ${formatCount(rowsEstimated)} rows${rate}${lag}`
}
