import type { SystemName } from '../systems/system.ts'
import type { CaseName } from './cases.ts'

/** One system in one situation. Ratios are medians over the rounds, in each of which every system had its turn. */
export interface Row {
  readonly case: CaseName
  readonly connections: number
  /** Added in each direction. */
  readonly delayMs: number
  readonly system: SystemName
  /** Operations a second. */
  readonly qps: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Null when `plain` was not in the run. */
  readonly ratioToPlain: number | null
  /** Null when `set-config` was not in the run. */
  readonly ratioToSetConfig: number | null
  /** User and system time of this process an operation. */
  readonly clientCpuUs: number
  /** The same of the database server; null where the system does not tell. */
  readonly serverCpuUs: number | null
}

/** The delay that was asked for, and the time that the smallest query took. */
export interface MeasuredDelay {
  readonly delayMs: number
  readonly roundTripMs: number
}
