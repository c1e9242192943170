import { FreeholdError } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { DoctorSettings } from '../options.ts'
import { readFreeholdPolicies } from './freehold-policies.ts'
import type { Facts } from './model.ts'
import { readCheckConstraints, readForeignKeys, readIndexes } from './read-keys.ts'
import { readFunctions, readViews } from './read-objects.ts'
import { readPolicies, readTenantSettings } from './read-policies.ts'
import { readAppRole } from './read-role.ts'
import { readLeftovers, readSurroundings } from './read-surroundings.ts'
import { readManaged, readTables } from './read-tables.ts'

const DEFAULT_COLUMN = 'tenant_id'
const FREEHOLD_APP = 'freehold_app'

interface Session {
  readonly database: string
  readonly version: string
  readonly number: number
  readonly user: string
  readonly superuser: boolean
  readonly freehold: boolean
  readonly app: boolean
}

/**
 * Reads all that the checks look at. The caller has begun a transaction, and rolls it back.
 *
 * @throws FreeholdError `config_invalid` when the application's role is not known.
 */
export async function readFacts(
  client: ClientBase,
  address: DatabaseAddress,
  settings: DoctorSettings,
): Promise<Facts> {
  const session = await readSession(client)
  const appRole = settings.appRole ?? guessAppRole(session)
  const app = await readAppRole(client, appRole)
  const managed = await readManaged(client, session.freehold)
  const declared = [...managed.values()].find(({ tenantColumn }) => tenantColumn !== null)?.tenantColumn
  const tenantColumn = settings.tenantColumn ?? declared ?? DEFAULT_COLUMN
  const tables = await readTables(client, settings, appRole, tenantColumn, managed)
  const managedTables = tables.filter(({ kind }) => session.freehold && kind === 'tenant')
  return {
    host: address.host,
    port: address.port,
    database: session.database,
    serverVersion: session.version,
    serverVersionNumber: session.number,
    connectedAs: session.user,
    isSuperuser: session.superuser,
    hasFreehold: session.freehold,
    tenantColumn,
    app,
    tables,
    policies: await readPolicies(client, appRole),
    indexes: await readIndexes(client),
    foreignKeys: await readForeignKeys(client),
    checkConstraints: await readCheckConstraints(client),
    views: await readViews(client, appRole),
    functions: await readFunctions(client, appRole),
    surroundings: await readSurroundings(client, appRole),
    leftovers: session.freehold ? await readLeftovers(client) : null,
    tenantSchemas: session.freehold ? await readTenantSchemas(client) : [],
    tenantSettings:
      settings.settings.length > 0 ? settings.settings : await readTenantSettings(client, session.number),
    freeholdPolicies: await readFreeholdPolicies(client, managedTables),
  }
}

async function readTenantSchemas(client: ClientBase): Promise<string[]> {
  const known = await client.query<{ may: boolean | null }>(
    `select has_table_privilege(to_regclass('freehold.tenant_schema'), 'SELECT') as may`,
  )
  if (known.rows[0]?.may !== true) return []
  const { rows } = await client.query<{ name: string }>(
    'select schema_name::text as name from freehold.tenant_schema order by 1',
  )
  return rows.map(({ name }) => name)
}

async function readSession(client: ClientBase): Promise<Session> {
  const { rows } = await client.query<Session>(
    `select current_database() as database, current_setting('server_version') as version,
       current_setting('server_version_num')::int as number, current_user::text as user,
       (select rolsuper from pg_roles where rolname = current_user) as superuser,
       to_regclass('freehold.managed_table') is not null as freehold,
       exists (select from pg_roles where rolname = $1) as app`,
    [FREEHOLD_APP],
  )
  const [session] = rows
  if (!session) throw new FreeholdError('inspection_failed', 'The server did not say what it is.')
  return session
}

function guessAppRole(session: Session): string {
  if (session.freehold && session.app) return FREEHOLD_APP
  throw new FreeholdError(
    'config_invalid',
    'Name the role as which the application connects: --app-role <role>. It is what has to be kept in.',
  )
}
