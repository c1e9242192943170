import type { Interval } from './measure/pause.ts'
import type { Failure, LatencySummary, RequestClass } from './measure/recorder.ts'
import type { ProofReport, ProveOptions } from './proof/proof-report.ts'
import type { SeedPlan } from './seed/seed-plan.ts'

/** A tenant that takes part, as the clients see it. */
export interface LoadedTenant {
  readonly id: string
  /** A token of the product with the tenant's claim. */
  readonly token: string
  /** What it was loaded with (`seedTenant`). */
  readonly seed: SeedPlan
  /** Virtual clients, each sending one request at a time. */
  readonly clients: number
}

export interface LoadOptions {
  /** The product API. */
  readonly baseUrl: string
  readonly tenants: readonly LoadedTenant[]
  /** Over all tenants, spread evenly over the clients; without it every client sends as fast as it is answered. */
  readonly requestsPerSecond?: number
  /** Share of the requests that write, from 0 to 1; half when not given. */
  readonly writeShare?: number
  /** Of the choices that the clients make. Interleaving is not part of it. */
  readonly seed: number
}

export interface LoadProgress {
  readonly requests: number
  readonly failed: number
  readonly writesAcknowledged: number
  readonly mismatches: number
  readonly seconds: number
}

export interface LoadReport extends LoadProgress {
  /** Requests per second over the whole load. */
  readonly rps: number
  /** Rows of other tenants that reads showed. */
  readonly foreignRows: number
  /** Writes of which the outcome is unknown. */
  readonly uncertainWrites: number
  readonly latencies: Readonly<Record<RequestClass, LatencySummary>>
  /** The first failures and mismatches, without rows. */
  readonly failures: readonly Failure[]
  readonly mismatchSamples: readonly string[]
}

interface Pause {
  readonly writePauseMs: number
  readonly readPauseMs: number
}

/** A running load and its ledger. */
export interface Load {
  progress(): Promise<LoadProgress>
  /** The longest time, touching the window, in which the tenant had no write (no read) acknowledged. */
  pause(tenantId: string, window: Interval): Promise<Pause>
  /** Lets every client finish its request, within the time that a request may take. May be called twice. */
  stop(): Promise<LoadReport>
  /** Holds the databases against the ledger. Call it when the load has stopped. */
  prove(options: ProveOptions): Promise<ProofReport>
  /** Stops the load, if it runs, and frees what it holds. */
  close(): Promise<void>
}
