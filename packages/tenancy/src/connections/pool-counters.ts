/** Which maximum a request ran into when it waited for a connection in vain. */
export type ConnectionLimit = 'process' | 'database' | 'tenant'

/** Why a connection was closed: for another database, unused for long, broken, or the pool was closed. */
export type CloseReason = 'evicted' | 'unused' | 'broken' | 'shutdown'

/** What has happened so far, counted since the pool was made. */
export interface PoolCounters {
  /** Connections opened. */
  connects: number
  connectFailures: number
  /** Requests that found no idle connection and waited. */
  waits: number
  /** For how long they waited, all together, whatever came of it. */
  waitedMs: number
  /** Requests that waited in vain, by the limit that was in their way. */
  readonly timeouts: Record<ConnectionLimit, number>
  /** Connections closed, by the reason for it. */
  readonly closed: Record<CloseReason, number>
}

export function newCounters(): PoolCounters {
  return {
    connects: 0,
    connectFailures: 0,
    waits: 0,
    waitedMs: 0,
    timeouts: { process: 0, database: 0, tenant: 0 },
    closed: { evicted: 0, unused: 0, broken: 0, shutdown: 0 },
  }
}

/** Adds what one pool has counted to a sum. */
export function addCounters(sum: PoolCounters, part: Readonly<PoolCounters>): void {
  sum.connects += part.connects
  sum.connectFailures += part.connectFailures
  sum.waits += part.waits
  sum.waitedMs += part.waitedMs
  sum.timeouts.process += part.timeouts.process
  sum.timeouts.database += part.timeouts.database
  sum.timeouts.tenant += part.timeouts.tenant
  sum.closed.evicted += part.closed.evicted
  sum.closed.unused += part.closed.unused
  sum.closed.broken += part.closed.broken
  sum.closed.shutdown += part.closed.shutdown
}

/** A copy that does not change any more. */
export function copyCounters(counters: Readonly<PoolCounters>): PoolCounters {
  return { ...counters, timeouts: { ...counters.timeouts }, closed: { ...counters.closed } }
}
