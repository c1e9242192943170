import type { DataMigrations } from '../resources/silo-database.ts'
import type { LoadLimits } from '../throttle/server-load.ts'

/** What a deployment decides about its moves. Durations in ms. */
export interface MoveSettings {
  /** FREEHOLD_ENTRY_SECRET: the moves' access to tenants' rows is derived from it. */
  readonly entrySecret: string
  readonly migrations: DataMigrations
  /** Tables that are copied at the same time. */
  readonly copyStreams: number
  /** How long the creation of a replication slot may wait for open transactions of the source cluster. */
  readonly slotTimeoutMs: number
  /** A cutover begins when the change stream lags by no more than this. */
  readonly maxLagMs: number
  /** What routers take to connect to where a tenant is coming while the servers have other work. */
  readonly routersConnectMs: number
  /** How long the source refuses writers at most, by its own clock, if a worker dies between fence and seal. */
  readonly fenceExpiryMs: number
  /** How long a cutover waits for the tenant's open transactions before it gives the attempt up. */
  readonly lockTimeoutMs: number
  /** How long a switch has writers of reference tables wait while these are compared, at most. */
  readonly referenceHoldMs: number
  /** Switches called off, in rehearsal or under the fence, after which the move is given up. */
  readonly maxCutoverAttempts: number
  /** How long a move that may switch seeks a moment for it before it is given up. */
  readonly cutoverPatienceMs: number
  /** The wait after the first switch that is called off; it doubles with each, up to `maxMs`. */
  readonly cutoverBackOff: { readonly firstMs: number; readonly maxMs: number }
  /** Rows that are compared at once, about; a table with more of them is compared in pieces. */
  readonly verifyBatchRows: number
  /** Beyond this a verification goes on at another point: how long it holds a snapshot, but for the batch it is at. */
  readonly verifyPointMs: number
  /** How long a move that is copied waits for a server that is away, busy or lets nobody in, before it is given up. */
  readonly patienceMs: number
  /** How often the changes of a tenant in its rollback window are carried back. */
  readonly soakIntervalMs: number
  /** How long a worker carries changes back before others get its place, unless a single transaction takes longer. */
  readonly catchUpTurnMs: number
  /** Rows that the purge of the source deletes in one transaction. */
  readonly purgeBatchRows: number
  /** Rows that a move copies or purges per second at most, unless it was started with a limit of its own. */
  readonly maxRowsPerSecond?: number | undefined
  /** Load of a server beyond which copying and purging wait. */
  readonly loadLimits: LoadLimits
}

export const defaultMoveSettings = {
  copyStreams: 2,
  slotTimeoutMs: 60_000,
  maxLagMs: 250,
  routersConnectMs: 150,
  fenceExpiryMs: 5_000,
  lockTimeoutMs: 1_000,
  referenceHoldMs: 5_000,
  maxCutoverAttempts: 20,
  cutoverPatienceMs: 600_000,
  cutoverBackOff: { firstMs: 100, maxMs: 30_000 },
  verifyBatchRows: 1_000_000,
  verifyPointMs: 30_000,
  patienceMs: 3_600_000,
  soakIntervalMs: 5_000,
  catchUpTurnMs: 60_000,
  purgeBatchRows: 10_000,
  loadLimits: { activeSessions: 0, standbyLagSeconds: 10 },
} as const satisfies Partial<MoveSettings>
