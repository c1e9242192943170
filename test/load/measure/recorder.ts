import { type Interval, longestGap } from './pause.ts'
import { percentile } from './percentile.ts'

export type RequestClass = 'read' | 'write' | 'transaction'

/** A request that did not end as it should have. No row content: kinds, statuses and codes only. */
export interface Failure {
  readonly tenantId: string
  readonly kind: string
  /** Milliseconds since 1970. */
  readonly at: number
  /** HTTP status, or the code of the transport's error. */
  readonly reason: string
}

export interface LatencySummary {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

const SAMPLES = 10

/** Counts and times what the virtual clients see. */
export class Recorder {
  readonly startedAt = now()
  stoppedAt: number | undefined
  requests = 0
  failed = 0
  writesAcknowledged = 0
  /** Reads whose answer was not what the ledger says, and acknowledgements of something else than was asked for. */
  mismatches = 0
  /** Rows that were recognised as another tenant's. */
  foreignRows = 0
  readonly failures: Failure[] = []
  readonly mismatchSamples: string[] = []
  readonly #latencies: Readonly<Record<RequestClass, number[]>> = { read: [], write: [], transaction: [] }
  readonly #acknowledged = new Map<string, { reads: number[]; writes: number[] }>()

  succeeded(tenantId: string, requestClass: RequestClass, sentAt: number): void {
    const at = now()
    this.requests++
    this.#latencies[requestClass].push(at - sentAt)
    const instants = this.#instants(tenantId)
    if (requestClass === 'read') instants.reads.push(at)
    else {
      instants.writes.push(at)
      this.writesAcknowledged++
    }
  }

  failedRequest(failure: Omit<Failure, 'at'>): void {
    this.requests++
    this.failed++
    if (this.failures.length < SAMPLES) this.failures.push({ ...failure, at: now() })
  }

  mismatch(sample: string): void {
    this.mismatches++
    if (this.mismatchSamples.length < SAMPLES) this.mismatchSamples.push(sample)
  }

  latencies(): Record<RequestClass, LatencySummary> {
    const summary = (values: readonly number[]): LatencySummary => ({
      count: values.length,
      p50Ms: percentile(values, 0.5),
      p99Ms: percentile(values, 0.99),
      maxMs: percentile(values, 1),
    })
    const { read, write, transaction } = this.#latencies
    return { read: summary(read), write: summary(write), transaction: summary(transaction) }
  }

  /** The longest time in which a tenant got no acknowledgement, for writes and for reads. */
  pause(tenantId: string, window: Interval): { writePauseMs: number; readPauseMs: number } {
    const { reads, writes } = this.#instants(tenantId)
    const load = { from: this.startedAt, to: this.stoppedAt ?? now() }
    return { writePauseMs: longestGap(writes, load, window), readPauseMs: longestGap(reads, load, window) }
  }

  /** Acknowledgements of a tenant so far. */
  acknowledgedBy(tenantId: string): { reads: number; writes: number } {
    const { reads, writes } = this.#instants(tenantId)
    return { reads: reads.length, writes: writes.length }
  }

  get seconds(): number {
    return ((this.stoppedAt ?? now()) - this.startedAt) / 1000
  }

  #instants(tenantId: string) {
    let instants = this.#acknowledged.get(tenantId)
    if (instants === undefined) {
      instants = { reads: [], writes: [] }
      this.#acknowledged.set(tenantId, instants)
    }
    return instants
  }
}

/** Milliseconds since 1970 with fractions, never set back by a correction of the clock. */
export const now = (): number => performance.timeOrigin + performance.now()
