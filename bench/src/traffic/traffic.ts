import type { Tenant } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import type { Interval } from '../../../test/load/index.ts'

/** A tenant's traffic: paced writers with a ledger, and paced readers, each through a router. */
export interface TrafficOptions {
  readonly tenant: Tenant
  /** The catalog as a router reads it. */
  readonly catalog: DatabaseAddress
  readonly writesPerSecond: number
  readonly readsPerSecond: number
}

/** What was acknowledged to a tenant's clients. */
interface TrafficReport {
  readonly writes: number
  readonly failures: readonly string[]
  /** Rows of the tenant's home that are not what the writer's ledger says. */
  readonly differences: readonly string[]
}

/** Traffic in a process of its own. Times are milliseconds since 1970. */
export interface Traffic {
  begin(options: TrafficOptions): Promise<void>
  /** The longest time, touching the window, without an acknowledged write (read). */
  pause(tenantId: string, window: Interval): Promise<{ readonly writeMs: number; readonly readMs: number }>
  /** Latencies of everything that was acknowledged to the tenant in the interval, ms. */
  latencies(tenantId: string, interval: Interval): Promise<number[]>
  /** When the first write was acknowledged from an instant on; Infinity when none was. */
  firstWriteFrom(tenantId: string, instant: number): Promise<number>
  writesPerSecond(tenantId: string, interval: Interval): Promise<number>
  /** Ends the tenant's traffic and holds its home against the ledger. @param home as superuser. */
  end(tenantId: string, home: DatabaseAddress): Promise<TrafficReport>
}
