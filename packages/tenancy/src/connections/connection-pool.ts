import { FreeholdError } from '@freehold/contract'
import { clientConfig, type DatabaseAddress, preparedStatements } from '@freehold/postgres'
import pg from 'pg'

export interface PoolLimits {
  readonly maxConnections: number
  /** How long to wait for a connection, in ms. */
  readonly waitMs: number
}

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

/** A connection of a pool, in the hands of one piece of work at a time. */
export interface PooledConnection {
  readonly client: pg.Client
  /** Set before a statement is sent that may change the session; the session is then reset on release. */
  tainted: boolean
  /** Set when the connection must not be used again. */
  broken: boolean
}

interface IdleConnection {
  readonly connection: PooledConnection
  readonly since: number
}

interface Waiter {
  readonly resolve: (connection: PooledConnection) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

const APPLICATION_NAME = 'freehold-router'
const CLOSE_TIMEOUT_MS = 1_000

/**
 * The connections to one data database, as the application's role. Beyond what `pg.Pool` does it hands out an idle
 * connection without a tick in between, tells "no room" from "no database", and takes a connection back only in the
 * state in which it was given: no transaction open, and the session reset if anything may have changed it.
 */
export class ConnectionPool {
  readonly address: DatabaseAddress
  readonly #limits: PoolLimits
  /** The most recently used last, so that connections that are not needed grow old. */
  readonly #idle: IdleConnection[] = []
  readonly #waiting: Waiter[] = []
  readonly #lent = new Set<PooledConnection>()
  #size = 0
  #connecting = 0
  /** Connections that are no longer counted, but whose socket is still open. */
  #ending = 0
  #closed: { readonly resolve: () => void; readonly promise: Promise<void> } | undefined

  constructor(address: DatabaseAddress, limits: PoolLimits) {
    this.address = address
    this.#limits = limits
  }

  /** Connections that exist or are being made. */
  get size(): number {
    return this.#size
  }

  get idle(): number {
    return this.#idle.length
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** An idle connection, if there is one. */
  take(): PooledConnection | undefined {
    const connection = this.#idle.pop()?.connection
    if (connection) this.#lent.add(connection)
    return connection
  }

  /**
   * @throws ConnectFailedError when the database cannot be reached.
   * @throws FreeholdError `connection_budget_exhausted` when none became free in time.
   */
  acquire(): Promise<PooledConnection> {
    const connection = this.take()
    if (connection) return Promise.resolve(connection)
    if (this.#closed) return Promise.reject(new ConnectFailedError(0, new Error('The pool is closed.')))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(waiter), this.#limits.waitMs)
      const waiter: Waiter = { resolve, reject, timer }
      this.#waiting.push(waiter)
      this.#connectAsNeeded()
    })
  }

  /**
   * Takes a connection back, or closes it when it is not as it was given.
   *
   * @throws Error when it was not lent: given back twice, it would be lent to two.
   */
  release(connection: PooledConnection): void {
    if (!this.#lent.delete(connection)) throw new Error('The connection was released twice.')
    if (connection.broken || connection.client.getTransactionStatus() !== 'I') {
      this.#destroy(connection)
    } else if (connection.tainted) {
      void this.#reset(connection)
    } else {
      this.#offer(connection)
    }
  }

  /** Closes connections that have been idle since before `time`. */
  closeIdleSince(time: number): void {
    while (this.#idle[0] && this.#idle[0].since < time) this.#destroy(this.#idle[0].connection)
  }

  /** Lets work under way finish, and closes every connection. */
  close(): Promise<void> {
    if (!this.#closed) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#closed = { promise, resolve }
      this.closeIdleSince(Number.POSITIVE_INFINITY)
      this.#settleClosed()
    }
    return this.#closed.promise
  }

  #connectAsNeeded(): void {
    while (this.#waiting.length > this.#connecting && this.#size < this.#limits.maxConnections) {
      void this.#connect()
    }
  }

  async #connect(): Promise<void> {
    this.#size++
    this.#connecting++
    const start = performance.now()
    const client = new pg.Client(clientConfig(this.address, APPLICATION_NAME))
    const connection: PooledConnection = { client, tainted: false, broken: false }
    try {
      client.on('error', () => this.#lost(connection))
      client.on('end', () => this.#lost(connection))
      await client.connect()
      this.#connecting--
      this.#offer(connection)
    } catch (error) {
      this.#connecting--
      this.#size--
      const waiter = this.#waiting.shift()
      clearTimeout(waiter?.timer)
      waiter?.reject(new ConnectFailedError(performance.now() - start, error))
      this.#connectAsNeeded()
      this.#settleClosed()
    }
  }

  /** Gives a connection to whoever has waited longest, or keeps it. */
  #offer(connection: PooledConnection): void {
    if (connection.broken) {
      this.#destroy(connection)
      return
    }
    const waiter = this.#waiting.shift()
    if (waiter) {
      clearTimeout(waiter.timer)
      this.#lent.add(connection)
      waiter.resolve(connection)
    } else if (this.#closed) {
      this.#destroy(connection)
    } else {
      this.#idle.push({ connection, since: performance.now() })
    }
  }

  /** Nothing of one tenant's session may reach the next: settings, cursors, prepared statements, locks, channels. */
  async #reset(connection: PooledConnection): Promise<void> {
    try {
      await connection.client.query('discard all')
      preparedStatements(connection.client).clear()
      connection.tainted = false
      this.#offer(connection)
    } catch {
      this.#destroy(connection)
    }
  }

  /** Somebody may be at work with it; then it is closed when it is released. */
  #lost(connection: PooledConnection): void {
    connection.broken = true
    if (this.#idle.some((idle) => idle.connection === connection)) this.#destroy(connection)
  }

  #destroy(connection: PooledConnection): void {
    connection.broken = true
    const index = this.#idle.findIndex((idle) => idle.connection === connection)
    if (index >= 0) this.#idle.splice(index, 1)
    this.#size--
    void this.#end(connection.client)
    this.#connectAsNeeded()
  }

  async #end(client: pg.Client): Promise<void> {
    this.#ending++
    // A peer that has vanished never answers the farewell.
    const timer = setTimeout(() => client.connection.stream.destroy(), CLOSE_TIMEOUT_MS)
    await client.end().catch(() => undefined)
    clearTimeout(timer)
    this.#ending--
    this.#settleClosed()
  }

  #giveUp(waiter: Waiter): void {
    this.#waiting.splice(this.#waiting.indexOf(waiter), 1)
    const reason = `No connection within ${this.#limits.waitMs} ms.`
    waiter.reject(
      this.#size > this.#connecting
        ? new FreeholdError('connection_budget_exhausted', reason, { retryAfterSeconds: 1 })
        : new ConnectFailedError(this.#limits.waitMs, new Error(reason)),
    )
  }

  #settleClosed(): void {
    if (this.#size + this.#ending + this.#waiting.length === 0) this.#closed?.resolve()
  }
}
