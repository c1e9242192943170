import { SHARED_FUNCTIONS } from '@freehold/data-database'
import type { ClientBase } from 'pg'
import { type FreeholdSchema, mayRead } from './freehold-schema.ts'
import type { Leftovers, Surroundings } from './model.ts'
import { FOREIGN_SCHEMAS } from './read-tables.ts'

/** Reads what else in the database carries data past row security. */
export async function readSurroundings(client: ClientBase, appRole: string): Promise<Surroundings> {
  async function names(text: string, values: readonly unknown[] = []): Promise<string[]> {
    const { rows } = await client.query<{ name: string }>(text, [...values])
    return rows.map(({ name }) => name)
  }
  async function relations(kind: 'S' | 'f', condition: string): Promise<{ label: string; sql: string }[]> {
    const { rows } = await client.query<{ label: string; sql: string }>(
      `select namespace.nspname || '.' || class.relname as label, class.oid::regclass::text as sql
       from pg_class class join pg_namespace namespace on namespace.oid = class.relnamespace
       where ${FOREIGN_SCHEMAS}
         -- CASE: the server is free to ask for rights before it looks at the kind, and would then fail.
         and case when class.relkind = '${kind}' then ${condition} else false end order by 1`,
      [appRole],
    )
    return rows
  }
  const executable = (condition: string) =>
    names(
      `select function.oid::regprocedure::text as name
       from pg_proc function
       where ${condition} and has_function_privilege($1, function.oid, 'EXECUTE') order by 1`,
      [appRole],
    )
  const eventTriggers = await client.query<{ name: string; calls: string }>(
    `select evtname as name, evtfoid::regproc::text as calls from pg_event_trigger
     where evtenabled <> 'D' and not exists (select from pg_depend part
       where part.classid = 'pg_event_trigger'::regclass and part.objid = pg_event_trigger.oid and part.deptype = 'e')
     order by 1`,
  )
  const settings = await client.query<{ writable: boolean }>(
    `select has_any_column_privilege($1, 'pg_catalog.pg_settings', 'UPDATE') as writable`,
    [appRole],
  )
  const defaults = await client.query<{ grantor: string; schema: string | null; grantee: string }>(
    `select distinct grantor.rolname as grantor, namespace.nspname as schema,
       coalesce(grantee.rolname, 'public') as grantee
     from pg_default_acl entry
     join pg_roles grantor on grantor.oid = entry.defaclrole
     left join pg_namespace namespace on namespace.oid = entry.defaclnamespace
     cross join lateral aclexplode(entry.defaclacl) granted
     left join pg_roles grantee on grantee.oid = granted.grantee
     where entry.defaclobjtype = 'r' and (granted.grantee = 0 or grantee.rolname = $1) order by 1, 2, 3`,
    [appRole],
  )
  return {
    settableSequences: await relations('S', `has_sequence_privilege($1, class.oid, 'UPDATE')`),
    publicationsOfAllTables: await names(
      `select pubname as name from pg_publication where puballtables order by 1`,
    ),
    sharedFunctions: await readShared(client, appRole),
    settingsWritable: settings.rows[0]?.writable === true,
    foreignTables: await relations('f', `has_any_column_privilege($1, class.oid, 'SELECT, INSERT, UPDATE')`),
    foreignServers: await names(
      `select srvname as name from pg_foreign_server where has_server_privilege($1, oid, 'USAGE') order by 1`,
      [appRole],
    ),
    dblinkFunctions: await executable(
      `exists (select from pg_depend part join pg_extension extension on extension.oid = part.refobjid
         where part.classid = 'pg_proc'::regclass and part.objid = function.oid and part.deptype = 'e'
           and extension.extname = 'dblink')`,
    ),
    eventTriggers: eventTriggers.rows,
    defaultRights: defaults.rows,
  }
}

/** Functions of PostgreSQL that the application may execute and that reach from one tenant to another. */
async function readShared(client: ClientBase, appRole: string): Promise<Surroundings['sharedFunctions']> {
  const shared: { why: string; functions: readonly string[] }[] = []
  for (const { names, why } of SHARED_FUNCTIONS) {
    const { rows } = await client.query<{ name: string }>(
      `select oid::regprocedure::text as name from pg_proc
       where pronamespace = 'pg_catalog'::regnamespace and proname ~ $2 and has_function_privilege($1, oid, 'EXECUTE')
       order by 1`,
      [appRole, names],
    )
    if (rows.length > 0) shared.push({ why, functions: rows.map(({ name }) => name) })
  }
  return shared
}

const STALE_HOURS = 24
const EXPIRED_HOURS = 1
/** What a move makes at its source, as a regular expression. */
const STREAM = 'freehold_(?:b_)?[0-9a-f]{32}_[0-9]+'
/** Whoever works on a move names it in each of their sessions. */
const nobodyWorksOn = (name: string) =>
  `not exists (select from pg_stat_activity
     where strpos(application_name, substring(${name} from '[0-9a-f]{32}')) > 0)`

/** Reads what ended work has left in the schema `freehold`; null where this connection may not look. */
export async function readLeftovers(client: ClientBase, freehold: FreeholdSchema): Promise<Leftovers | null> {
  for (const table of ['managed_table', 'resident', 'applied']) {
    if (!(await mayRead(client, freehold, table))) return null
  }
  const vanished = await client.query<{ oid: number }>(
    `select relation::oid as oid from freehold.managed_table
     where not exists (select from pg_class where pg_class.oid = managed_table.relation) order by 1`,
  )
  const streams = await client.query<{ stream: string; hours: number }>(
    `select stream, floor(extract(epoch from clock_timestamp() - updated_at) / 3600)::int as hours
     from freehold.applied where updated_at < clock_timestamp() - make_interval(hours => $1) order by 1`,
    [STALE_HOURS],
  )
  const fences = await client.query<{ tenant: string; hours: number }>(
    `select tenant_id as tenant, floor(extract(epoch from clock_timestamp() - fence_expires_at) / 3600)::int as hours
     from freehold.resident
     where state = 'fenced' and fence_expires_at < clock_timestamp() - make_interval(hours => $1) order by 1`,
    [EXPIRED_HOURS],
  )
  const slots = await client.query<{ name: string }>(
    `select slot_name as name from pg_replication_slots
     where not active and slot_name ~ '^freehold' and database = current_database() and ${nobodyWorksOn('slot_name')}
     order by 1`,
  )
  const publications = await client.query<{ name: string }>(
    `select pubname as name from pg_publication
     where pubname ~ $1 and not exists (select from pg_replication_slots where slot_name = pubname) order by 1`,
    [`^${STREAM}$`],
  )
  const triggers = await client.query<{ stream: string; table: string; triggers: string[] }>(
    `select substring(tgname from $1) as stream, tgrelid::regclass::text as "table", array_agg(tgname::text order by tgname) as triggers
     from pg_trigger
     where tgparentid = 0 and tgname ~ $1 and ${nobodyWorksOn('tgname')} group by 1, 2 order by 1, 2`,
    [`^(${STREAM})_(?:insert|update|delete|truncate)$`],
  )
  return {
    vanishedTables: vanished.rows.map(({ oid }) => oid),
    staleStreams: streams.rows,
    expiredFences: fences.rows,
    idleSlots: slots.rows.map(({ name }) => name),
    unreadPublications: publications.rows.map(({ name }) => name),
    unreadTriggers: triggers.rows,
  }
}
