import { setTimeout as sleep } from 'node:timers/promises'
import { FreeholdError, type TenantId } from '@freehold/contract'
import { ConnectionLostError, type Entry, EntryRefusedError, scopedQuery } from '@freehold/postgres'
import { ConnectFailedError } from '../connections/connection-errors.ts'
import type { ConnectionPool } from '../connections/connection-pool.ts'
import type { DatabasePools } from '../connections/database-pools.ts'
import type { PooledConnection } from '../connections/pooled-connection.ts'
import { publishHeld } from '../events.ts'
import type { Placement } from '../placement/placement.ts'
import type { PlacementCache } from '../placement/placement-cache.ts'
import type { RouterLimits } from '../router-options.ts'
import type { Holds, ProbeAnswer } from './holds.ts'

/** How often work whose connection broke before it did anything is begun again. */
const MAX_RESTARTS = 3
const MAX_DELAY_MS = 20
/** A failure to connect that comes sooner may be tried again at the same place; its client is not kept waiting. */
const QUICK_FAILURE_MS = 1_000

/** Where a piece of work has entered, or tries to. */
export interface Entrance {
  readonly placement: Placement
  readonly pool: ConnectionPool
  readonly connection: PooledConnection
}

/**
 * Enters and works. When it fails, the connection is released by the caller of this; when it succeeds, releasing it
 * is up to the work.
 *
 * @throws EntryRefusedError when nothing was executed; the work is then begun again, perhaps somewhere else.
 */
export type Work<T> = (entrance: Entrance, entry: Entry) => Promise<T>

/**
 * The one way into a data database: finds the tenant's placement, connects, enters, and deals with everything that
 * says "not here" or "not now", so that work is done once, at the tenant's home, or not at all.
 */
export class Entering {
  readonly #placements: PlacementCache
  readonly #pools: DatabasePools
  readonly #holds: Holds
  readonly #limits: RouterLimits

  constructor(placements: PlacementCache, pools: DatabasePools, holds: Holds, limits: RouterLimits) {
    this.#placements = placements
    this.#pools = pools
    this.#holds = holds
    this.#limits = limits
  }

  /**
   * @throws FreeholdError `tenant_held`, `not_resident` (after the deadline), `tenant_not_found`,
   * `tenant_suspended`, `catalog_unavailable`, `database_unavailable`, `connection_budget_exhausted`, or
   * `outcome_unknown` (writers whose connection broke under way).
   */
  async run<T>(tenantId: TenantId, mode: Entry['mode'], work: Work<T>): Promise<T> {
    const attempt = new Attempts(this.#limits.holdDeadlineMs)
    for (;;) {
      if (mode === 'writer' && this.#holds.isHeld(tenantId)) await this.#waitHeld(tenantId, attempt)
      const placement = this.#placements.peek(tenantId) ?? (await this.#placements.resolve(tenantId))
      try {
        return await this.#once(placement, mode, work)
      } catch (error) {
        if (error instanceof EntryRefusedError) {
          if (error.reason === 'held') await this.#waitHeld(tenantId, attempt)
          else await this.#relocate(placement, attempt, error)
        } else if (error instanceof ConnectFailedError) {
          await this.#lookElsewhere(placement, attempt, error)
        } else if (error instanceof ConnectionLostError) {
          attempt.restart(mode, error)
        } else {
          throw error
        }
      }
    }
  }

  async #once<T>(placement: Placement, mode: Entry['mode'], work: Work<T>): Promise<T> {
    const entry = placement.entry(mode)
    const pool = this.#pools.for(placement.route)
    const { schema, route } = placement
    const connection = pool.take(route.tenantId, schema) ?? (await pool.acquire(route.tenantId, schema))
    try {
      return await work({ placement, pool, connection }, entry)
    } catch (error) {
      if (error instanceof ConnectionLostError) connection.broken = true
      pool.release(connection)
      throw error
    }
  }

  async #waitHeld(tenantId: TenantId, attempt: Attempts): Promise<void> {
    const start = performance.now()
    const released = await this.#holds.wait(tenantId, attempt.deadline(), () => this.#probe(tenantId))
    publishHeld({ tenantId, heldMs: performance.now() - start, released })
    if (released) return
    throw new FreeholdError('tenant_held', undefined, {
      details: { tenant: tenantId },
      retryAfterSeconds: 1,
    })
  }

  /** Enters as a writer and does nothing else. */
  async #probe(tenantId: TenantId): Promise<ProbeAnswer> {
    try {
      const placement = this.#placements.peek(tenantId) ?? (await this.#placements.resolve(tenantId))
      try {
        await this.#once(placement, 'writer', async ({ pool, connection }, entry) => {
          await scopedQuery(connection.client, entry, NOTHING, this.#limits)
          pool.release(connection)
        })
      } catch (error) {
        if (!(error instanceof EntryRefusedError)) throw error
        if (error.reason === 'held') return 'held'
        return (await this.#placements.reread(placement, 'left')) === placement ? 'open' : 'held'
      }
    } catch {
      // Whatever it is, those who wait meet it themselves and report it better.
    }
    return 'open'
  }

  /** Not resident where we thought: asks the catalog where instead, and again until it knows. */
  async #relocate(tried: Placement, attempt: Attempts, refused: EntryRefusedError): Promise<void> {
    const fresh = await this.#placements.reread(tried, 'left')
    if (fresh !== tried) return
    if (performance.now() >= attempt.deadline()) {
      throw new FreeholdError('not_resident', undefined, {
        cause: refused,
        details: { tenant: tried.route.tenantId },
        retryAfterSeconds: 1,
      })
    }
    await sleep(attempt.nextDelay())
  }

  /** The database cannot be reached: perhaps the tenant has left it, or the connection broke while it was made. */
  async #lookElsewhere(tried: Placement, attempt: Attempts, failed: ConnectFailedError): Promise<void> {
    if (attempt.lookedElsewhere) throw databaseUnavailable(failed)
    attempt.lookedElsewhere = true
    const fresh = await this.#placements.reread(tried, 'dead')
    if (fresh === tried && failed.tookMs > QUICK_FAILURE_MS) throw databaseUnavailable(failed)
  }
}

const NOTHING = { text: 'select', values: [] }

/** How much a piece of work has been through already. */
class Attempts {
  lookedElsewhere = false
  readonly #patienceMs: number
  #deadline: number | undefined
  #delay = 1
  #restarts = 0

  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs
  }

  /** Until when to wait, by `performance.now()`; counts from the first refusal. */
  deadline(): number {
    this.#deadline ??= performance.now() + this.#patienceMs
    return this.#deadline
  }

  nextDelay(): number {
    const delay = this.#delay
    this.#delay = Math.min(delay * 2, MAX_DELAY_MS)
    return delay
  }

  /** @throws FreeholdError unless the work may be begun once more. */
  restart(mode: Entry['mode'], lost: ConnectionLostError): void {
    if (lost.executed === 'unknown' && mode === 'writer') throw outcomeUnknown(lost)
    // What is not known to be harmless to the server is tried only twice.
    this.#restarts += lost.executed === 'unknown' ? MAX_RESTARTS - 1 : 1
    if (this.#restarts > MAX_RESTARTS) throw databaseUnavailable(lost)
  }
}

export function databaseUnavailable(cause: unknown, message?: string): FreeholdError {
  return new FreeholdError('database_unavailable', message, { cause, retryAfterSeconds: 1 })
}

export function outcomeUnknown(cause: unknown): FreeholdError {
  return new FreeholdError('outcome_unknown', undefined, { cause })
}
