import { FreeholdError } from '@freehold/contract'
import { sameAddress } from '../placement/placement.ts'
import type { Route } from '../placement/placement-source.ts'
import { ConnectionPool, type PoolLimits } from './connection-pool.ts'

const IDLE_MS = 30_000
const SWEEP_MS = 5_000

/** One pool a data database, made when somebody is first routed there and dropped when nobody is any more. */
export class DatabasePools {
  readonly #limits: PoolLimits
  readonly #pools = new Map<string, ConnectionPool>()
  /** Pools that take no new work but have not finished theirs. */
  readonly #closing = new Set<Promise<void>>()
  readonly #sweeper: NodeJS.Timeout
  #closed = false

  constructor(limits: PoolLimits) {
    this.#limits = limits
    this.#sweeper = setInterval(() => this.sweep(performance.now() - IDLE_MS), SWEEP_MS)
    this.#sweeper.unref()
  }

  /**
   * The pool for a route. One whose database has a new address is replaced.
   *
   * @throws FreeholdError `database_unavailable` after {@link close}.
   */
  for(route: Route): ConnectionPool {
    if (this.#closed) throw new FreeholdError('database_unavailable', 'The router is closed.')
    const pool = this.#pools.get(route.dataDatabaseId)
    if (pool && sameAddress(pool.address, route.address)) return pool
    if (pool) this.#close(pool)
    const fresh = new ConnectionPool(route.address, this.#limits)
    this.#pools.set(route.dataDatabaseId, fresh)
    return fresh
  }

  /** Counts of the connections to every database that has any, by its id. */
  counts(): ReadonlyMap<string, { readonly size: number; readonly idle: number; readonly waiting: number }> {
    return new Map(
      [...this.#pools].map(([id, pool]) => [id, { size: pool.size, idle: pool.idle, waiting: pool.waiting }]),
    )
  }

  /** Closes connections that have been idle since before `time`, and forgets pools that have none left. */
  sweep(time: number): void {
    for (const [id, pool] of this.#pools) {
      pool.closeIdleSince(time)
      if (pool.size === 0 && pool.waiting === 0) this.#pools.delete(id)
    }
  }

  /** Lets work under way finish, and closes every connection. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweeper)
    for (const pool of this.#pools.values()) this.#close(pool)
    this.#pools.clear()
    await Promise.all(this.#closing)
  }

  #close(pool: ConnectionPool): void {
    const closed = pool.close()
    this.#closing.add(closed)
    void closed.then(() => this.#closing.delete(closed))
  }
}
