import type { ClientBase } from 'pg'

/** How busy a server is with what is not ours. */
export interface ServerLoad {
  readonly activeSessions: number
  /** Of the physical standby that is furthest behind; 0 when none is. */
  readonly standbyLagSeconds: number
}

/** Beyond these, copying and purging wait; 0: no limit. */
export interface LoadLimits {
  readonly activeSessions: number
  readonly standbyLagSeconds: number
}

/** One short query on the statistics; it reads no table of anybody's. */
export async function readLoad(client: ClientBase): Promise<ServerLoad> {
  const result = await client.query<{ active: string; lag: string }>(
    `select
       (select count(*) from pg_stat_activity
        where state = 'active' and backend_type = 'client backend'
          and usename not in ('freehold_mover', 'freehold_owner')) as active,
       (select coalesce(extract(epoch from max(replay_lag)), 0) from pg_stat_replication standby
        where not exists (
          select from pg_replication_slots where active_pid = standby.pid and slot_type = 'logical')) as lag`,
  )
  const row = result.rows[0]
  return { activeSessions: Number(row?.active ?? 0), standbyLagSeconds: Number(row?.lag ?? 0) }
}

/** @returns what is too much, in words; undefined when nothing is. */
export function overload(server: string, load: ServerLoad, limits: LoadLimits): string | undefined {
  if (limits.activeSessions > 0 && load.activeSessions > limits.activeSessions) {
    return `${server} has ${load.activeSessions} active sessions, limit ${limits.activeSessions}`
  }
  if (limits.standbyLagSeconds > 0 && load.standbyLagSeconds > limits.standbyLagSeconds) {
    return `a standby of the ${server} lags by ${load.standbyLagSeconds.toFixed(1)} s, limit ${limits.standbyLagSeconds} s`
  }
  return undefined
}
