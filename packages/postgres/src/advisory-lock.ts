import type { ClientBase } from 'pg'
import { quoteLiteral } from './quoting.ts'

/**
 * The tenant's advisory lock on a session, outside any transaction: held until released or until the connection
 * ends. Keys come from `freehold.lock_key`, so both sides of a cutover name the same lock.
 */
export const tenantLock = {
  /** Tries the writers' shared lock. @returns whether it was got. */
  async tryShared(client: ClientBase, tenantId: string): Promise<boolean> {
    const result = await client.query<{ locked: boolean }>(
      'select pg_try_advisory_lock_shared(freehold.lock_key($1)) as locked',
      [tenantId],
    )
    return result.rows[0]?.locked === true
  },

  async releaseShared(client: ClientBase, tenantId: string): Promise<void> {
    await client.query('select pg_advisory_unlock_shared(freehold.lock_key($1))', [tenantId])
  },

  /**
   * Waits for the exclusive lock: when it is got, every writer's transaction of the tenant has ended.
   *
   * @param timeoutMs how long to wait; then the server raises 55P03 and nothing is held.
   * @param idleMs how long the session may do nothing while it holds the lock; then the server ends it, so that a
   * holder that stands still does not keep writers out for ever.
   */
  async acquireExclusive(
    client: ClientBase,
    tenantId: string,
    { timeoutMs, idleMs }: { readonly timeoutMs: number; readonly idleMs: number },
  ): Promise<void> {
    await client.query(
      `set lock_timeout = ${Math.ceil(timeoutMs)}; set idle_session_timeout = ${Math.ceil(idleMs)};
       select pg_advisory_lock(freehold.lock_key(${quoteLiteral(tenantId)}))`,
    )
  },

  /** Gives up what the session holds, if anything. */
  async release(client: ClientBase): Promise<void> {
    await client.query('select pg_advisory_unlock_all()')
  },

  /** @returns for how many ms the oldest transaction has been open that holds the writers' shared lock. */
  async oldestSharedMs(client: ClientBase, tenantId: string): Promise<number> {
    const result = await client.query<{ ms: number }>(
      `select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0)::float8 * 1000 as ms
       from pg_locks join pg_stat_activity using (pid)
       where locktype = 'advisory' and mode = 'ShareLock' and granted and objsubid = 1
         and pg_locks.database = (select oid from pg_database where datname = current_database())
         and (classid::bigint << 32) | objid::bigint = freehold.lock_key($1)`,
      [tenantId],
    )
    return result.rows[0]?.ms ?? 0
  },

  /** Ends whichever session holds the exclusive lock, as one does whose worker stands still. */
  async endExclusiveHolder(client: ClientBase, tenantId: string): Promise<void> {
    await client.query(
      `select pg_terminate_backend(pid) from pg_locks
       where locktype = 'advisory' and mode = 'ExclusiveLock' and granted and objsubid = 1
         and database = (select oid from pg_database where datname = current_database())
         and (classid::bigint << 32) | objid::bigint = freehold.lock_key($1)`,
      [tenantId],
    )
  },
}
