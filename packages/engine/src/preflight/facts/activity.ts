import type { ClientBase } from 'pg'
import { z } from 'zod'

const activityFactsSchema = z.object({
  /** Transactions that write, in any database of the cluster; the oldest first. */
  transactions: z.array(
    z.object({
      pid: z.int(),
      database: z.string(),
      role: z.string().nullable(),
      application: z.string(),
      seconds: z.number(),
    }),
  ),
  prepared: z.array(z.object({ name: z.string(), database: z.string(), seconds: z.number() })),
})
/** What is under way on a cluster that the creation of a replication slot waits for. */
export type ActivityFacts = z.infer<typeof activityFactsSchema>

const ACTIVITY_SQL = `
  select jsonb_build_object(
    'transactions', (select coalesce(jsonb_agg(jsonb_build_object('pid', pid, 'database', datname, 'role', usename,
        'application', application_name, 'seconds', extract(epoch from clock_timestamp() - xact_start))
        order by xact_start), '[]')
      from pg_stat_activity
      where backend_xid is not null and datname is not null and xact_start is not null and pid <> pg_backend_pid()),
    'prepared', (select coalesce(jsonb_agg(jsonb_build_object('name', gid, 'database', database,
        'seconds', extract(epoch from clock_timestamp() - prepared)) order by prepared), '[]')
      from pg_prepared_xacts)
  ) as facts`

export async function readActivity(client: ClientBase): Promise<ActivityFacts> {
  const result = await client.query<{ facts: unknown }>(ACTIVITY_SQL)
  return activityFactsSchema.parse(result.rows[0]?.facts)
}
