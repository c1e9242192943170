import type { ClientBase } from 'pg'

/** Ends the connections to this database that have one of the names, but for the one that asks. */
export async function endSessions(client: ClientBase, names: readonly string[]): Promise<void> {
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = any ($1) and pid <> pg_backend_pid()`,
    [names],
  )
}
