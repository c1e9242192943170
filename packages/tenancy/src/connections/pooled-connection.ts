import type { TenantId } from '@freehold/contract'
import { clientConfig, type DatabaseAddress, preparedStatements } from '@freehold/postgres'
import pg from 'pg'
import { assertSafeRole } from './safe-role.ts'

/** Shown in `pg_stat_activity`. */
export const APPLICATION_NAME = 'freehold-router'
const CLOSE_TIMEOUT_MS = 1_000

/**
 * What a connection is doing. It counts against the process's maximum in every state, from the first packet to the
 * last; against its database's `size` in all but `ending`.
 *
 * | from         | event                                            | to          |
 * |--------------|--------------------------------------------------|-------------|
 * | (none)       | somebody waits and every limit has room          | connecting  |
 * | (none)       | a tenant is about to come, and room is to spare  | connecting  |
 * | connecting   | the server has let us in                         | idle        |
 * | connecting   | it has not                                       | ending      |
 * | idle         | taken, or handed to whoever waits                | lent        |
 * | idle         | evicted, too old, its socket broke, pool closed  | ending      |
 * | lent         | released as it was given                         | idle        |
 * | lent         | released tainted                                 | resetting   |
 * | lent         | released broken, or with a transaction open      | ending      |
 * | resetting    | the session is clean                             | idle        |
 * | resetting    | it could not be cleaned                          | ending      |
 * | ending       | the socket is closed                             | (none)      |
 *
 * Nothing takes a lent connection from whoever has it: a running statement is never cut. A socket that breaks while
 * the connection is lent is noticed when it is released.
 */
export type ConnectionState = 'connecting' | 'idle' | 'lent' | 'resetting' | 'ending'

/** Whose plans a connection has: nobody's yet, those for the shared tables, or those for one schema. */
export type Affinity = string | undefined | typeof NO_PLANS

export const NO_PLANS = null

/** A connection of a pool, in the hands of one piece of work at a time. */
export class PooledConnection {
  readonly client: pg.Client
  /** Set before a statement is sent that may change the session; the session is then reset on release. */
  tainted = false
  /** Set when the connection must not be used again. */
  broken = false
  /** Changed by the pool alone. */
  state: ConnectionState = 'connecting'
  /** To whom it is lent, or was last. */
  tenantId: TenantId | undefined = undefined
  affinity: Affinity = NO_PLANS
  /** By `performance.now()`. */
  idleSince = 0
  /** By `performance.now()`. */
  connectedAt = 0

  /**
   * @param options for the startup packet; undefined where a pooler would refuse them.
   * @param onLost called when its socket breaks, and when it is closed.
   */
  constructor(address: DatabaseAddress, options: string | undefined, onLost: () => void) {
    const config = clientConfig(address, APPLICATION_NAME)
    this.client = new pg.Client(options === undefined ? config : { ...config, options })
    this.client.on('error', onLost)
    this.client.on('end', onLost)
  }

  /** @throws FreeholdError `unsafe_role` when row security would not hold on it. */
  async open(): Promise<void> {
    await this.client.connect()
    await assertSafeRole(this.client)
  }

  /**
   * Leaves nothing of one tenant's session to the next: settings, cursors, prepared statements, locks, channels.
   *
   * @returns false when that could not be done.
   */
  async clean(): Promise<boolean> {
    try {
      await this.client.query('discard all')
    } catch {
      return false
    }
    preparedStatements(this.client).clear()
    this.tainted = false
    this.affinity = NO_PLANS
    return true
  }

  /** Closes it, and returns when it is closed. A peer that has vanished never answers the farewell. */
  async hangUp(): Promise<void> {
    const timer = setTimeout(() => this.client.connection.stream.destroy(), CLOSE_TIMEOUT_MS)
    await this.client.end().catch(() => undefined)
    clearTimeout(timer)
  }
}
