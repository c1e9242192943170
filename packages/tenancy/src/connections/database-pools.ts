import { type DataDatabaseId, FreeholdError, type RegionId } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import { sameAddress } from '../placement/placement.ts'
import type { ComingHome, Route } from '../placement/placement-source.ts'
import { ConnectionBudget } from './connection-budget.ts'
import { ConnectionPool } from './connection-pool.ts'
import { addCounters, copyCounters, newCounters, type PoolCounters } from './pool-counters.ts'
import type { ConnectionState } from './pooled-connection.ts'
import { sessionOptions } from './session-settings.ts'

const IDLE_MS = 30_000
const SWEEP_MS = 5_000
/** Made before a tenant comes. The others are made when they are needed, by a server that is known to answer. */
const WARM_CONNECTIONS = 4

export interface ConnectionLimits {
  /** Connections to all databases together, at most. */
  readonly maxConnections: number
  /** Connections to one database, at most. */
  readonly maxConnectionsPerDatabase: number
  /** Connections of one tenant to a database that it shares, at most. */
  readonly maxConnectionsPerTenant: number
  /** How long to wait for a connection, in ms. */
  readonly connectionWaitMs: number
  readonly pooler?: 'transaction' | undefined
  readonly session?: Readonly<Record<string, string>> | undefined
}

/** Whether a database holds many tenants or one. */
export type DatabaseKind = 'pool' | 'silo'

/** The connections to one data database at a moment. */
export interface DatabaseConnections extends Readonly<Record<ConnectionState, number>> {
  readonly region: RegionId
  readonly kind: DatabaseKind
  /** Connections that exist or are being made, without those being closed. */
  readonly size: number
  /** Requests that wait for one. */
  readonly waiting: number
  /** What has happened since somebody was first routed there, or was again after a time without use. */
  readonly counters: Readonly<PoolCounters>
}

/** The connections of a process to all data databases at a moment. */
export interface ConnectionTotals extends Readonly<Record<ConnectionState, number>> {
  /** How many there may be. */
  readonly maximum: number
  /** How many there are, those being made and those being closed included. */
  readonly used: number
  readonly waiting: number
  /** What has happened since the router was made. */
  readonly counters: Readonly<PoolCounters>
}

interface Member {
  readonly pool: ConnectionPool
  readonly region: RegionId
  readonly kind: DatabaseKind
}

/**
 * One pool a data database, made when somebody is first routed there and dropped when nobody is any more; all of
 * them under the budget of the process.
 */
export class DatabasePools {
  readonly #limits: ConnectionLimits
  readonly #budget: ConnectionBudget
  readonly #members = new Map<DataDatabaseId, Member>()
  /** Pools that take no new work but have not finished theirs. */
  readonly #closing = new Map<ConnectionPool, Promise<void>>()
  /** Of the pools that are no more. */
  readonly #past = newCounters()
  readonly #sweeper: NodeJS.Timeout
  #closed = false

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
    this.#budget = new ConnectionBudget(limits.maxConnections)
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
    const known = this.#members.get(route.dataDatabaseId)
    if (known && sameAddress(known.pool.address, route.address)) return known.pool
    if (known) void this.#close(known.pool)
    return this.#add(route)
  }

  /**
   * Connects to a database where work is about to come: a few connections, as far as there is room for them that nobody
   * waits for. Never takes the place of anything.
   */
  warm(coming: ComingHome): Promise<void> {
    if (this.#closed) return Promise.resolve()
    const known = this.#members.get(coming.dataDatabaseId)
    // Whether an address is new is the word of a route, with which work comes.
    if (known && !sameAddress(known.pool.address, coming.address)) return Promise.resolve()
    return (known?.pool ?? this.#add(coming)).warm(WARM_CONNECTIONS)
  }

  /** The connections to every database in use, by its id. */
  databases(): ReadonlyMap<DataDatabaseId, DatabaseConnections> {
    return new Map(
      [...this.#members].map(([id, { pool, region, kind }]) => [
        id,
        {
          region,
          kind,
          size: pool.size,
          ...pool.states,
          waiting: pool.waiting,
          counters: copyCounters(pool.counters),
        },
      ]),
    )
  }

  totals(): ConnectionTotals {
    const states = { connecting: 0, idle: 0, lent: 0, resetting: 0, ending: 0 }
    const counters = copyCounters(this.#past)
    let waiting = 0
    for (const pool of [
      ...[...this.#members.values()].map((member) => member.pool),
      ...this.#closing.keys(),
    ]) {
      const { connecting, idle, lent, resetting, ending } = pool.states
      states.connecting += connecting
      states.idle += idle
      states.lent += lent
      states.resetting += resetting
      states.ending += ending
      waiting += pool.waiting
      addCounters(counters, pool.counters)
    }
    return { maximum: this.#budget.max, used: this.#budget.used, ...states, waiting, counters }
  }

  /** Closes connections that have been idle since before `time`, and forgets pools that nobody has used since. */
  sweep(time: number): void {
    for (const [id, { pool }] of this.#members) {
      pool.closeIdleSince(time)
      if (!pool.isUnusedSince(time)) continue
      this.#members.delete(id)
      addCounters(this.#past, pool.counters)
    }
  }

  /** Lets work under way finish, and closes every connection. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweeper)
    for (const { pool } of this.#members.values()) void this.#close(pool)
    this.#members.clear()
    await Promise.all(this.#closing.values())
  }

  #add({ dataDatabaseId, region, address, isolation }: ComingHome): ConnectionPool {
    const kind = isolation === 'silo' ? 'silo' : 'pool'
    const pool = this.#newPool(address, kind)
    this.#members.set(dataDatabaseId, { pool, region, kind })
    return pool
  }

  #newPool(address: DatabaseAddress, kind: DatabaseKind): ConnectionPool {
    const { maxConnections, maxConnectionsPerDatabase, maxConnectionsPerTenant, connectionWaitMs } =
      this.#limits
    const limits = {
      maxConnections: Math.min(maxConnections, maxConnectionsPerDatabase),
      // Whoever has a database alone has no neighbours to be spared.
      maxConnectionsPerTenant: kind === 'silo' ? maxConnectionsPerDatabase : maxConnectionsPerTenant,
      waitMs: connectionWaitMs,
      options: this.#limits.pooler === undefined ? sessionOptions(this.#limits.session) : undefined,
    }
    return new ConnectionPool(address, limits, this.#budget)
  }

  async #close(pool: ConnectionPool): Promise<void> {
    const closed = pool.close()
    this.#closing.set(pool, closed)
    await closed
    this.#closing.delete(pool)
    addCounters(this.#past, pool.counters)
  }
}
