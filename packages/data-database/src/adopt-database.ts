import { canonicalTenantId, dataDatabaseIdSchema, FreeholdError, tenantIdSchema } from '@freehold/contract'
import {
  type DatabaseAddress,
  deriveEntryKey,
  entryDigest,
  inTransaction,
  migrate,
  quoteIdentifier,
  withClient,
} from '@freehold/postgres'
import type { ClientBase, QueryArrayConfig } from 'pg'
import { createRouterRoles, type RouterPasswords } from './roles.ts'
import { closeSharedWays } from './shared-ways.ts'

export interface Adoption {
  /** The product's database, as superuser or as a role that may create roles and schemas there. */
  readonly admin: DatabaseAddress
  readonly passwords: RouterPasswords
  /** Whether the passwords are those that the roles have already, if they exist: theirs are never changed otherwise. */
  readonly rolesAreOurs: boolean
  /** FREEHOLD_ENTRY_SECRET: the same for the router. */
  readonly entrySecret: string
  /** The folder `migrations/data`. */
  readonly migrations: string
  /** The role that owns the product's tables and runs its migrations; the database's owner unless given. */
  readonly migrationRole?: string
  /** A query whose first column is the id of every tenant that there is. */
  readonly tenants?: string
}

export interface AdoptionReport {
  readonly database: string
  readonly migrationRole: string
  /** Files of the schema `freehold` applied now. */
  readonly migrations: readonly string[]
  /** Tenants let in now, and those that were in already. */
  readonly admitted: number
  readonly alreadyIn: number
  /** False where only a superuser could take from everybody what PostgreSQL grants to all (`freehold doctor` names it). */
  readonly sharedWaysClosed: boolean
}

const APPLICATION_NAME = 'freehold-adopt'

/**
 * Brings the database side of the router to a database that is in use: roles, the schema `freehold`, the residency of
 * the tenants that there are. No table of the product is touched, so whatever runs on it goes on as before;
 * tables are protected by the product's own migration, which calls `freehold.protect_table()`. Safe to run twice, and
 * to run again after it broke off.
 *
 * @throws FreeholdError `config_invalid` when a role exists that passes by row security, `tenant_id_unfit` when a
 * tenant's id cannot be one.
 */
export async function adoptDatabase(adoption: Adoption): Promise<AdoptionReport> {
  return withClient(adoption.admin, APPLICATION_NAME, async (client) => {
    const ids = adoption.tenants === undefined ? [] : await readTenantIds(client, adoption.tenants)
    // From here on what is named without a schema is PostgreSQL's own, whatever the database's search path leads to.
    await client.query('set search_path = pg_catalog, pg_temp')
    await refuseOtherSecret(client, adoption.entrySecret)
    const migrationRole = adoption.migrationRole ?? (await databaseOwner(client))
    const sharedWaysClosed = await inTransaction(client, () => prepareRoles(client, adoption, migrationRole))
    const migrations = await asOwner(client, () => migrate(client, adoption.migrations, 'data'))
    const admitted = await asOwner(client, () => admit(client, adoption.entrySecret, ids))
    return {
      database: adoption.admin.database,
      migrationRole,
      migrations,
      admitted,
      alreadyIn: ids.length - admitted,
      sharedWaysClosed,
    }
  })
}

async function prepareRoles(
  client: ClientBase,
  { passwords, admin, rolesAreOurs }: Adoption,
  migrationRole: string,
): Promise<boolean> {
  // Two adoptions in one cluster share the roles.
  await client.query(`select pg_advisory_xact_lock(hashtext('freehold.prepare_cluster'))`)
  const isSuperuser = await asksAsSuperuser(client)
  // Passwords do not belong into the server's log.
  if (isSuperuser)
    await client.query('set local log_statement = none; set local log_min_error_statement = panic')
  await createRouterRoles(client, passwords, rolesAreOurs)
  const database = quoteIdentifier(admin.database)
  await client.query(`grant create, connect on database ${database} to freehold_owner`)
  await client.query(`grant connect on database ${database} to freehold_app, freehold_control`)
  // It owns the product's tables anyway, so it could take row security away from them.
  await client.query(`grant freehold_owner to ${quoteIdentifier(migrationRole)}`)
  await client.query(`grant freehold_owner to ${quoteIdentifier(admin.user)}`)
  await closeOpenSchemas(client, migrationRole)
  if (isSuperuser) await closeSharedWays(client)
  return isSuperuser
}

async function asksAsSuperuser(client: ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ super: boolean }>(
    'select rolsuper as super from pg_roles where rolname = current_user',
  )
  return rows[0]?.super === true
}

/**
 * Databases that were made before PostgreSQL 15 let everybody create objects in `public`: a function or an operator
 * planted there is found by other tenants' statements, and runs as them. Whoever runs the migrations keeps the right.
 */
async function closeOpenSchemas(client: ClientBase, migrationRole: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select nspname as name from pg_namespace cross join lateral aclexplode(nspacl) acl
     where acl.grantee = 0 and acl.privilege_type = 'CREATE'`,
  )
  for (const { name } of rows) {
    const schema = quoteIdentifier(name)
    await client.query(`grant create on schema ${schema} to ${quoteIdentifier(migrationRole)}`)
    await client.query(`revoke create on schema ${schema} from public`)
  }
}

/**
 * The residents of a database that was adopted before can be entered with the secret of then, and no other.
 *
 * @throws FreeholdError `config_invalid`
 */
async function refuseOtherSecret(client: ClientBase, secret: string): Promise<void> {
  const { rows: found } = await client.query<{ there: boolean }>(
    `select to_regclass('freehold.identity') is not null as there`,
  )
  if (found[0]?.there !== true) return
  const { rows } = await client.query<{ tenant: string; epoch: string; digest: Buffer; database: string }>(
    `select tenant_id as tenant, epoch, entry_digest as digest, data_database_id as database
     from freehold.resident cross join freehold.identity limit 1`,
  )
  const [resident] = rows
  if (resident === undefined) return
  const scope = {
    tenantId: resident.tenant,
    dataDatabaseId: resident.database,
    epoch: Number(resident.epoch),
  }
  if (entryDigest(deriveEntryKey(secret, scope)).equals(resident.digest)) return
  throw new FreeholdError(
    'config_invalid',
    'This database was adopted with another entry secret: use the file that was written then.',
  )
}

async function asOwner<T>(client: ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('set role freehold_owner')
  try {
    return await work()
  } finally {
    await client.query('reset role')
  }
}

async function databaseOwner(client: ClientBase): Promise<string> {
  const { rows } = await client.query<{ owner: string }>(
    'select pg_get_userbyid(datdba) as owner from pg_database where datname = current_database()',
  )
  return rows[0]?.owner ?? ''
}

async function readTenantIds(client: ClientBase, query: string): Promise<string[]> {
  await client.query('begin read only')
  // In the extended protocol the server takes no more than one statement.
  const asked: QueryArrayConfig & { queryMode: 'extended' } = {
    text: query,
    rowMode: 'array',
    queryMode: 'extended',
  }
  const { rows } = await client.query<unknown[]>(asked)
  await client.query('commit')
  return rows.map(([value]) => {
    const id = tenantIdSchema.safeParse(value === null ? null : canonicalTenantId(String(value)))
    if (id.success) return id.data
    throw new FreeholdError('tenant_id_unfit', 'The query for tenants returned a value that cannot be an id.')
  })
}

async function admit(client: ClientBase, secret: string, ids: readonly string[]): Promise<number> {
  await client.query('insert into freehold.identity default values on conflict do nothing')
  const { rows } = await client.query<{ id: string }>('select data_database_id as id from freehold.identity')
  const dataDatabaseId = dataDatabaseIdSchema.parse(rows[0]?.id)
  const digests = ids.map((tenantId) =>
    entryDigest(deriveEntryKey(secret, { tenantId, dataDatabaseId, epoch: FIRST_EPOCH })),
  )
  const admitted = await client.query(
    `insert into freehold.resident (tenant_id, epoch, entry_digest, state)
     select id, $3, digest, 'active' from unnest($1::text[], $2::bytea[]) new (id, digest)
     on conflict do nothing`,
    [ids, digests, FIRST_EPOCH],
  )
  return admitted.rowCount ?? 0
}

const FIRST_EPOCH = 1
