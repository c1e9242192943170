import { isFreeholdError, type TenantId } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import type pg from 'pg'
import type { BudgetMember, ConnectionBudget } from './connection-budget.ts'
import { budgetExhausted, ConnectFailedError } from './connection-errors.ts'
import { IdleConnections } from './idle-connections.ts'
import { type CloseReason, type ConnectionLimit, newCounters, type PoolCounters } from './pool-counters.ts'
import { type ConnectionState, PooledConnection } from './pooled-connection.ts'
import { type Waiter, WaitQueue } from './wait-queue.ts'
import { warmUp } from './warm-up.ts'

export interface PoolLimits {
  /** Connections to the database, at most. */
  readonly maxConnections: number
  /** Connections that one tenant may have of them, at most. */
  readonly maxConnectionsPerTenant: number
  /** How long to wait for a connection, in ms. */
  readonly waitMs: number
  /** For the startup packet of every connection; undefined: none. */
  readonly options?: string | undefined
}

/** Connections that are opened at a time while none is open. */
const MAX_CONNECTING_UNPROVEN = 2
/** Whoever is at work may be done before a connection is made, which costs both machines more than most work does. */
const GROW_AFTER_MS = 5
/** Those who will have been served before new connections could do it: so many times as many as since it was last looked at. */
const SERVED_MEANWHILE = 2

/**
 * The connections to one data database, as the application's role, within the budget of the process. Beyond what
 * `pg.Pool` does it hands out an idle connection without a tick in between, tells "no room" from "no database", keeps
 * one tenant from taking all, and takes a connection back only in the state in which it was given: no transaction
 * open, and the session reset if anything may have changed it. The states are those of {@link PooledConnection}.
 *
 * Invariants, whenever nothing of it is running:
 *
 * - **P1** connecting + idle + lent + resetting = `size`, and `size` + `ending` is at most the database's maximum.
 * - **P2** Nobody waits who could have an idle connection: those who wait beside one are of tenants at their maximum.
 * - **P3** A tenant has at most as many connections lent as it may.
 * - **P4** Whoever waits is served, refused after `waitMs`, or told that no connection can be made.
 */
export class ConnectionPool implements BudgetMember {
  readonly address: DatabaseAddress
  readonly counters: PoolCounters = newCounters()
  readonly #limits: PoolLimits
  readonly #budget: ConnectionBudget
  readonly #idle = new IdleConnections()
  readonly #waiting = new WaitQueue()
  /** All but those that are ending. */
  readonly #connections = new Set<PooledConnection>()
  #connecting = 0
  #resetting = 0
  #lent = 0
  #ending = 0
  /** The last attempt to connect has failed. */
  #failing = false
  #usedAt = performance.now()
  #growing: NodeJS.Timeout | undefined
  /** Who have waited and got a connection, since it was last looked at whether to grow. */
  #served = 0
  #closed: { readonly resolve: () => void; readonly promise: Promise<void> } | undefined
  /** Given to the queue; how many more connections a tenant may have. */
  readonly #room = (tenantId: TenantId) => this.#limits.maxConnectionsPerTenant - this.#lentTo(tenantId)

  constructor(address: DatabaseAddress, limits: PoolLimits, budget: ConnectionBudget) {
    this.address = address
    this.#limits = limits
    this.#budget = budget
  }

  /** Connections that exist or are being made, without those being closed. */
  get size(): number {
    return this.#connections.size
  }

  get open(): number {
    return this.#connections.size + this.#ending
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** How many connections are in which state. */
  get states(): Readonly<Record<ConnectionState, number>> {
    return {
      connecting: this.#connecting,
      idle: this.#idle.size,
      lent: this.#lent,
      resetting: this.#resetting,
      ending: this.#ending,
    }
  }

  get need(): number {
    if (this.#waiting.size === 0) return 0
    const possible = Math.min(this.#limits.maxConnections - this.open, this.#maxConnecting - this.#connecting)
    if (possible <= 0) return 0
    return Math.max(0, this.#waiting.demand(this.#room, possible + this.#connecting) - this.#connecting)
  }

  get waitingSince(): number | undefined {
    return this.#waiting.first(this.#room)?.since
  }

  get idleSince(): number | undefined {
    return this.#idle.oldest?.idleSince
  }

  /**
   * An idle connection, if there is one that the tenant may have.
   *
   * @param affinity the schema whose plans the work can use; undefined for work on the shared tables.
   */
  take(tenantId: TenantId, affinity: string | undefined): PooledConnection | undefined {
    if (this.#idle.size === 0) return undefined
    // Nobody has to be counted while fewer are lent to all than one may have.
    if (this.#lent >= this.#limits.maxConnectionsPerTenant && this.#room(tenantId) <= 0) return undefined
    const connection = this.#idle.take(affinity)
    if (connection === undefined) return undefined
    this.#lent++
    connection.state = 'lent'
    connection.tenantId = tenantId
    connection.affinity = affinity
    return connection
  }

  /**
   * An idle connection, or the next one.
   *
   * @throws ConnectFailedError when the database cannot be reached.
   * @throws FreeholdError `unsafe_role`; `connection_budget_exhausted` when none became free in time, of which
   * `details.limit` says which maximum was in the way.
   */
  acquire(tenantId: TenantId, affinity: string | undefined): Promise<PooledConnection> {
    const connection = this.take(tenantId, affinity)
    if (connection) return Promise.resolve(connection)
    if (this.#closed) return Promise.reject(new ConnectFailedError(0, new Error('The pool is closed.')))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(waiter), this.#limits.waitMs)
      const waiter: Waiter = { tenantId, affinity, since: performance.now(), resolve, reject, timer }
      this.counters.waits++
      this.#waiting.add(waiter)
      this.#growInTime()
    })
  }

  /**
   * Takes a connection back, or closes it when it is not as it was given.
   *
   * @throws Error when it was not lent: given back twice, it would be lent to two.
   */
  release(connection: PooledConnection): void {
    if (connection.state !== 'lent') throw new Error('The connection was released twice.')
    this.#lent--
    if (connection.broken || connection.client.getTransactionStatus() !== 'I') {
      this.#end(connection, 'broken')
    } else if (connection.tainted) {
      void this.#reset(connection)
    } else {
      this.#offer(connection)
      return
    }
    // Its tenant may have another one now.
    this.#serve()
  }

  /** Whether it has done nothing since `time`, and has nothing left. */
  isUnusedSince(time: number): boolean {
    return this.open + this.#waiting.size === 0 && this.#usedAt < time
  }

  /** Closes connections that have been idle since before `time`. */
  closeIdleSince(time: number): void {
    this.#closeIdle(time, 'unused')
  }

  evictOldest(): void {
    const { oldest } = this.#idle
    if (!oldest) return
    this.#idle.remove(oldest)
    this.#end(oldest, 'evicted')
  }

  /** Opens as many connections as are needed and allowed, but for `spared` of those who wait. */
  grow(spared = 0): void {
    while (this.need > 0 && this.#waiting.size - this.#connecting > spared) {
      if (!this.#budget.claim(this)) return
      void this.#connect()
    }
  }

  /**
   * Grows when somebody has waited for a moment, for those who will not be served by what is given back; at once when there is
   * nobody who could give a connection back.
   */
  #growInTime(): void {
    if (this.need === 0) return
    if (this.#lent === 0) {
      this.grow()
    } else if (this.#growing === undefined) {
      this.#served = 0
      this.#growing = setTimeout(() => this.#growAsNeeded(), GROW_AFTER_MS)
    }
  }

  #growAsNeeded(): void {
    this.#growing = undefined
    const waitedMs = performance.now() - (this.waitingSince ?? 0)
    if (waitedMs >= GROW_AFTER_MS) this.grow(this.#served * SERVED_MEANWHILE)
    this.#growInTime()
  }

  /**
   * Opens connections that nobody waits for yet, until there are `count`, as far as the maxima have room to spare. One after the
   * other: those at work on both machines are not to notice.
   *
   * @returns when it has ended, also when it could not.
   */
  async warm(count: number): Promise<void> {
    while (this.#mayWarm(count) && this.#budget.claimSpare(this)) {
      await this.#connect(warmUp)
      if (this.#failing) return
    }
  }

  #mayWarm(count: number): boolean {
    if (this.#closed || this.#connecting >= this.#maxConnecting) return false
    return this.open < Math.min(count, this.#limits.maxConnections)
  }

  /** Lets work under way finish, and closes every connection. */
  close(): Promise<void> {
    if (!this.#closed) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#closed = { promise, resolve }
      this.#closeIdle(Number.POSITIVE_INFINITY, 'shutdown')
      this.#settleClosed()
    }
    return this.#closed.promise
  }

  /** @param prepare done with a connection before anybody gets it. */
  async #connect(prepare?: (client: pg.Client) => Promise<void>): Promise<void> {
    this.#connecting++
    const start = performance.now()
    const connection = new PooledConnection(this.address, this.#limits.options, () => this.#lost(connection))
    this.#connections.add(connection)
    try {
      await connection.open()
      await prepare?.(connection.client)
    } catch (error) {
      this.#connecting--
      this.#failing = true
      this.counters.connectFailures++
      const failure = isFreeholdError(error)
        ? error
        : new ConnectFailedError(performance.now() - start, error)
      const waiter = this.#waiting.first(this.#room)
      if (waiter) this.#dismiss(waiter).reject(failure)
      this.#end(connection, 'broken')
      return
    }
    this.#connecting--
    this.#failing = false
    this.counters.connects++
    connection.connectedAt = performance.now()
    this.#offer(connection)
    this.#growInTime()
  }

  /** Gives a connection to whoever has waited longest, or to another database, or keeps it. */
  #offer(connection: PooledConnection): void {
    connection.state = 'idle'
    connection.idleSince = performance.now()
    this.#idle.add(connection)
    if (this.#waiting.size > 0 || this.#budget.contended || this.#closed || connection.broken) this.#serve()
  }

  /** Sees to it that no connection is idle that somebody waits for, here or elsewhere. */
  #serve(): void {
    for (let next = this.#idle.youngest; next; next = this.#idle.youngest) {
      if (next.broken) {
        this.#idle.remove(next)
        this.#end(next, 'broken')
        continue
      }
      if (this.#budget.contended && this.#budget.wouldRather(this, next.connectedAt)) {
        this.#idle.remove(next)
        this.#end(next, 'evicted')
        continue
      }
      const waiter = this.#waiting.first(this.#room)
      const connection = waiter && this.take(waiter.tenantId, waiter.affinity)
      if (!connection) break
      this.#dismiss(waiter).resolve(connection)
      this.#served++
    }
    if (this.#closed) this.#closeIdle(Number.POSITIVE_INFINITY, 'shutdown')
    this.#growInTime()
  }

  async #reset(connection: PooledConnection): Promise<void> {
    connection.state = 'resetting'
    this.#resetting++
    const isClean = await connection.clean()
    this.#resetting--
    if (isClean) {
      this.#offer(connection)
    } else {
      this.#end(connection, 'broken')
      this.#serve()
    }
  }

  /** Somebody may be at work with it; then it is closed when it is released. */
  #lost(connection: PooledConnection): void {
    connection.broken = true
    if (connection.state === 'idle' && this.#idle.remove(connection)) this.#end(connection, 'broken')
  }

  #closeIdle(before: number, reason: CloseReason): void {
    for (let next = this.#idle.oldest; next && next.idleSince < before; next = this.#idle.oldest) {
      this.#idle.remove(next)
      this.#end(next, reason)
    }
  }

  /** For connections that are neither lent nor idle any more. Its place is free when the server has hung up. */
  #end(connection: PooledConnection, reason: CloseReason): void {
    connection.state = 'ending'
    connection.broken = true
    this.#connections.delete(connection)
    this.#ending++
    this.#usedAt = performance.now()
    this.counters.closed[reason]++
    this.#budget.ending()
    void connection.hangUp().then(() => {
      this.#ending--
      this.#budget.ended(this)
      this.#settleClosed()
    })
  }

  #dismiss(waiter: Waiter): Waiter {
    clearTimeout(waiter.timer)
    this.#waiting.remove(waiter)
    this.counters.waitedMs += performance.now() - waiter.since
    this.#usedAt = performance.now()
    return waiter
  }

  #giveUp(waiter: Waiter): void {
    const limit = this.#limitInTheWayOf(waiter)
    this.#dismiss(waiter)
    const waitedMs = this.#limits.waitMs
    if (limit === undefined) {
      waiter.reject(new ConnectFailedError(waitedMs, new Error(`No connection within ${waitedMs} ms.`)))
    } else {
      this.counters.timeouts[limit]++
      waiter.reject(budgetExhausted(limit, this.#maximum(limit), waitedMs))
    }
    this.#settleClosed()
  }

  /** @returns undefined when what is in the way is the database itself, which does not let us in. */
  #limitInTheWayOf(waiter: Waiter): ConnectionLimit | undefined {
    if (this.#room(waiter.tenantId) <= 0) return 'tenant'
    if (this.#connecting > 0 && (this.#failing || this.#connecting === this.size)) return undefined
    if (this.open >= this.#limits.maxConnections) return 'database'
    return this.#budget.used >= this.#budget.max ? 'process' : undefined
  }

  /** A server that does not answer would hold whatever is tried with it, out of the budget of all databases. */
  get #maxConnecting(): number {
    if (this.#failing) return 1
    const isProven = this.size > this.#connecting
    return isProven ? this.#limits.maxConnections : MAX_CONNECTING_UNPROVEN
  }

  #maximum(limit: ConnectionLimit): number {
    if (limit === 'process') return this.#budget.max
    return limit === 'tenant' ? this.#limits.maxConnectionsPerTenant : this.#limits.maxConnections
  }

  #lentTo(tenantId: TenantId): number {
    let lent = 0
    for (const connection of this.#connections) {
      if (connection.state === 'lent' && connection.tenantId === tenantId) lent++
    }
    return lent
  }

  #settleClosed(): void {
    if (this.open + this.#waiting.size === 0) this.#closed?.resolve()
  }
}
