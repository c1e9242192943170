import { FreeholdError } from '@freehold/contract'
import type { ConnectionLimit } from './pool-counters.ts'

/** No connection could be made; nothing was sent. */
export class ConnectFailedError extends Error {
  override readonly name = 'ConnectFailedError'
  /** How long it took to find out. */
  readonly tookMs: number

  constructor(tookMs: number, cause: unknown) {
    super('No connection to the database could be made.', { cause })
    this.tookMs = tookMs
  }
}

const WHOSE: Readonly<Record<ConnectionLimit, string>> = {
  process: 'All connections that this process may have',
  database: 'All connections that this process may have to the database',
  tenant: 'All connections that one tenant may have in a shared database',
}

/** @param maximum of the limit that was in the way. */
export function budgetExhausted(limit: ConnectionLimit, maximum: number, waitedMs: number): FreeholdError {
  return new FreeholdError(
    'connection_budget_exhausted',
    `${WHOSE[limit]} (${maximum}) were in use for ${waitedMs} ms.`,
    { details: { limit, maximum, waitedMs }, retryAfterSeconds: 1 },
  )
}
