import type { ClientBase } from 'pg'

/**
 * Has the open transaction wait for its locks a little longer than an autovacuum keeps one from it. The server cancels that, but
 * only for a session that has waited for `deadlock_timeout`; whoever gives up sooner, however often, waits until it is done, and on
 * a large table that is hours. For locks behind which no writer waits.
 */
export async function outwaitAutovacuum(client: ClientBase): Promise<void> {
  await client.query(
    `select set_config('lock_timeout',
       (extract(epoch from current_setting('deadlock_timeout')::interval) * 1000 + 1000)::int::text, true)`,
  )
}
