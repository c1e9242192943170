import { FreeholdError } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { DoctorSettings } from '../options.ts'
import { type FreeholdSchema, mayRead, readFreeholdSchema } from './freehold-schema.ts'
import type { Facts } from './model.ts'
import { readCheckConstraints, readForeignKeys, readIndexes } from './read-keys.ts'
import { readFunctions, readViews } from './read-objects.ts'
import { readPolicies, readRules, readTenantSettings } from './read-policies.ts'
import { readPowers } from './read-powers.ts'
import { readAppRole } from './read-role.ts'
import { readShadows } from './read-shadows.ts'
import { readLeftovers, readSurroundings } from './read-surroundings.ts'
import { readManaged, readTables } from './read-tables.ts'

const DEFAULT_COLUMN = 'tenant_id'
const FREEHOLD_APP = 'freehold_app'

interface Session {
  readonly database: string
  readonly version: string
  readonly number: number
  readonly user: string
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
  const freehold = session.freehold ? await readFreeholdSchema(client) : null
  const managed = await readManaged(client, freehold)
  const declared = [...managed.values()].find(({ tenantColumn }) => tenantColumn !== null)?.tenantColumn
  const tenantColumn = settings.tenantColumn ?? declared ?? DEFAULT_COLUMN
  const tables = await readTables(client, settings, appRole, tenantColumn, managed)
  return {
    host: address.host,
    port: address.port,
    database: session.database,
    serverVersion: session.version,
    serverVersionNumber: session.number,
    connectedAs: session.user,
    powers: await readPowers(client),
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
    leftovers: freehold ? await readLeftovers(client, freehold) : null,
    tenantSchemas: freehold ? await readTenantSchemas(client, freehold) : [],
    tenantSettings:
      settings.settings.length > 0 ? settings.settings : await readTenantSettings(client, session.number),
    rules: await readRules(client),
    shadows: await readShadows(client, tables),
    freehold,
  }
}

async function readTenantSchemas(client: ClientBase, freehold: FreeholdSchema): Promise<string[] | null> {
  if (!(await mayRead(client, freehold, 'tenant_schema'))) return null
  const { rows } = await client.query<{ name: string }>(
    'select schema_name as name from freehold.tenant_schema order by 1',
  )
  return rows.map(({ name }) => name)
}

async function readSession(client: ClientBase): Promise<Session> {
  const { rows } = await client.query<Session>(
    `select current_database() as database, current_setting('server_version') as version,
       current_setting('server_version_num')::int as number, current_user::text as user,
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
