import type { ClientBase } from 'pg'
import { z } from 'zod'

const roleSchema = z.object({
  name: z.string(),
  login: z.boolean(),
  createdb: z.boolean(),
  replication: z.boolean(),
  /** Superuser, or passing by row security. */
  unbounded: z.boolean(),
  signal: z.boolean(),
  statistics: z.boolean(),
  setReplicationRole: z.boolean(),
})
export type RoleFacts = z.infer<typeof roleSchema>

const localeSchema = z.object({
  encoding: z.string(),
  /** Provider and names of the locale, in one text: databases with the same sort alike. */
  locale: z.string(),
  recordedVersion: z.string().nullable(),
  actualVersion: z.string().nullable(),
})
export type LocaleFacts = z.infer<typeof localeSchema>

const serverFactsSchema = z.object({
  versionNumber: z.int(),
  walLevel: z.string(),
  slots: z.object({ most: z.int(), used: z.int() }),
  senders: z.object({ most: z.int(), used: z.int() }),
  connections: z.object({ most: z.int(), used: z.int() }),
  /** Settings by which the server gives a slot up, as they are written; null: it does not. */
  slotKeepSize: z.string().nullable(),
  slotIdleTimeout: z.string().nullable(),
  slotKeepBytes: z.number().nullable(),
  walBytesPerSecond: z.number(),
  /** What an empty database takes. */
  templateBytes: z.number(),
  /** What all databases take; null where nobody has said how much they may. */
  usedBytes: z.number().nullable(),
  databaseExists: z.boolean(),
  /** Of the database, or where there is none yet of what it is made from. */
  locale: localeSchema,
  roles: z.array(roleSchema),
  extensions: z.array(z.string()),
  /** What the product's sessions are given there besides the server's own settings: `name=value`. */
  settings: z.array(z.string()),
})
/** A server, and the database on it that is or will be one end of a move. */
export type ServerFacts = z.infer<typeof serverFactsSchema>

const SERVER_SQL = `
  select jsonb_build_object(
    'versionNumber', current_setting('server_version_num')::int,
    'walLevel', current_setting('wal_level'),
    'slots', jsonb_build_object('most', current_setting('max_replication_slots')::int,
      'used', (select count(*) from pg_replication_slots)),
    'senders', jsonb_build_object('most', current_setting('max_wal_senders')::int,
      'used', (select count(*) from pg_stat_replication)),
    'connections', jsonb_build_object(
      'most', current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int,
      'used', (select count(*) from pg_stat_activity where datid is not null and pid <> pg_backend_pid()
        and backend_type is not distinct from 'client backend')),
    'slotKeepSize', nullif(current_setting('max_slot_wal_keep_size'), '-1'),
    'slotKeepBytes', pg_size_bytes(nullif(current_setting('max_slot_wal_keep_size'), '-1')),
    'slotIdleTimeout', nullif(current_setting('idle_replication_slot_timeout', true), '0'),
    'walBytesPerSecond', (select wal_bytes / greatest(extract(epoch from clock_timestamp() - stats_reset), 1)
      from pg_stat_wal),
    'templateBytes', (select sum(pg_database_size(oid)) from pg_database where datname = 'template1'),
    'usedBytes', case when $2 then (select sum(pg_database_size(oid)) from pg_database
      where datallowconn and not datistemplate) end,
    'databaseExists', exists (select from pg_database where datname = $1),
    'locale', (select jsonb_build_object(
        'encoding', pg_encoding_to_char(encoding),
        'locale', concat_ws(' ', case datlocprovider when 'c' then 'libc' when 'i' then 'icu' else 'builtin' end,
          case when datlocprovider = 'c' then datcollate end,
          coalesce(to_jsonb(pg_database) ->> 'datlocale', to_jsonb(pg_database) ->> 'daticulocale'), datctype),
        'recordedVersion', datcollversion,
        'actualVersion', pg_database_collation_actual_version(oid))
      from pg_database where datname in ($1, 'template1') order by datname <> $1 limit 1),
    'roles', (select coalesce(jsonb_agg(jsonb_build_object(
        'name', rolname, 'login', rolcanlogin, 'createdb', rolcreatedb, 'replication', rolreplication,
        'unbounded', rolsuper or rolbypassrls,
        'signal', pg_has_role(oid, 'pg_signal_backend', 'usage'),
        'statistics', pg_has_role(oid, 'pg_read_all_stats', 'usage'),
        'setReplicationRole', has_parameter_privilege(oid, 'session_replication_role', 'set'))), '[]')
      from pg_roles where rolname in ('freehold_owner', 'freehold_mover', 'freehold_app')),
    'extensions', (select coalesce(jsonb_agg(name), '[]') from pg_available_extensions),
    'settings', (select coalesce(jsonb_agg(distinct setting), '[]')
      from pg_db_role_setting, unnest(setconfig) setting
      where setdatabase in (0, coalesce((select oid from pg_database where datname = $1), 0))
        and setrole in (0, coalesce((select oid from pg_roles where rolname = 'freehold_app'), 0)))
  ) as facts`

/**
 * Reads what a move should know about a server and a database on it.
 *
 * @param database its name; it need not exist yet.
 * @param measured whether to find out what its databases take, which reads the size of every file.
 */
export async function readServer(
  client: ClientBase,
  database: string,
  measured: boolean,
): Promise<ServerFacts> {
  const result = await client.query<{ facts: unknown }>(SERVER_SQL, [database, measured])
  return serverFactsSchema.parse(result.rows[0]?.facts)
}
