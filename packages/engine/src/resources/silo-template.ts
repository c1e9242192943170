import { createHash } from 'node:crypto'
import { hasSqlState, type Migration, quoteIdentifier, readMigrations, SQLSTATE } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { createNewDatabase, dropDatabase } from './database.ts'
import type { DataMigrations } from './silo-database.ts'

/** What names of templates begin with; what follows tells apart what they were made of. */
export const TEMPLATE_PREFIX = 'freehold_template_'

/** Held by whoever copies a template, shared, and by whoever makes or removes one. */
const LOCK = "hashtextextended('freehold-silo-template', 0)"

/** What whoever makes one calls it: no other database of the same owner is taken for a template and removed. */
const TEMPLATE_NAME = `^${TEMPLATE_PREFIX}[0-9a-f]{16}$`

/** Such SQL may leave in a database what is true of that one only, or set something of it that a copy does not get. */
const LOOKS_AT_ITS_DATABASE =
  /\b(current_database|current_catalog|pg_database|datname|\w*catalog_name|table_catalog)\b/i

/** The name of a template, or nothing where each database has to be made by itself. */
type Template = string | undefined

/**
 * Has `work` copy a database that everything has been applied to already: to apply it takes the longer, the longer a product
 * lives. Each cluster has one such template, to which nobody connects; it is made by whoever needs it first, and anew when there is
 * another migration. It stays as it is until `work` has ended.
 *
 * A worker that is killed while it makes one leaves a database that connections are let into; the next one removes it.
 *
 * @param client in the cluster's maintenance database, as freehold_owner.
 * @param fill applies the migrations to a new database.
 * @param work is given no template when one of the product's migrations looks at the database that it runs in, and when there can
 * be none: another role has a database of its name, or somebody is connected to it. Safe to run twice.
 */
export async function withSiloTemplate<T>(
  client: ClientBase,
  migrations: DataMigrations,
  fill: (database: string) => Promise<void>,
  work: (template: Template) => Promise<T>,
): Promise<T> {
  const template = await templateOf(client, migrations)
  if (template === undefined) return work(undefined)
  const copied = await locked(client, 'shared', async () =>
    (await isReady(client, template)) ? { result: await copying(template, work) } : undefined,
  )
  if (copied !== undefined) return copied.result
  return locked(client, 'exclusive', async () =>
    (await isReady(client, template)) || (await make(client, template, fill))
      ? copying(template, work)
      : work(undefined),
  )
}

/** A database to which somebody is connected, a superuser who was there before it was closed, cannot be copied. */
async function copying<T>(template: string, work: (template: Template) => Promise<T>): Promise<T> {
  try {
    return await work(template)
  } catch (error) {
    if (!hasSqlState(error, SQLSTATE.objectInUse)) throw error
    return work(undefined)
  }
}

/** Named by everything that what is in it depends on. */
async function templateOf(client: ClientBase, migrations: DataMigrations): Promise<Template> {
  const [freehold, product] = await Promise.all([
    readMigrations(migrations.freehold),
    readMigrations(migrations.product),
  ])
  if (product.some(({ sql }) => LOOKS_AT_ITS_DATABASE.test(sql))) return undefined
  const server = await client.query<{ version: string; extensions: string[] }>(
    `select current_setting('server_version_num') as version,
       array(select format('%s %s', name, default_version) from pg_available_extensions order by 1) as extensions`,
  )
  const names = (all: readonly Migration[]) => all.map(({ name, digest }) => [name, digest])
  const content = JSON.stringify([server.rows, names(freehold), names(product)])
  return `${TEMPLATE_PREFIX}${createHash('sha256').update(content).digest('hex').slice(0, 16)}`
}

/**
 * Whoever owns a database decides what is in it, so another role's is none. Nor is one that the server does not copy, because its
 * operating system sorts otherwise since it was made.
 */
async function isReady(client: ClientBase, template: string): Promise<boolean> {
  const found = await client.query(
    `select from pg_database
     where datname = $1 and not datallowconn and datdba = current_user::regrole
       and datcollversion is not distinct from pg_database_collation_actual_version(oid)`,
    [template],
  )
  return found.rowCount === 1
}

/** @returns false when there is a database of this name that cannot be removed. */
async function make(
  client: ClientBase,
  template: string,
  fill: (database: string) => Promise<void>,
): Promise<boolean> {
  await removeTemplates(client)
  if (!(await createNewDatabase(client, template))) return false
  try {
    await fill(template)
  } catch (error) {
    await dropDatabase(client, template)
    throw error
  }
  // Not for everybody to copy, which `is_template` would allow: its owner may.
  await client.query(`alter database ${quoteIdentifier(template)} with allow_connections = false`)
  return true
}

/** Those of former migrations, and what is left of one that was never finished. */
async function removeTemplates(client: ClientBase): Promise<void> {
  const found = await client.query<{ name: string }>(
    'select datname as name from pg_database where datname ~ $1 and datdba = current_user::regrole',
    [TEMPLATE_NAME],
  )
  for (const { name } of found.rows) await remove(client, name)
}

/** One from which somebody may not be disconnected stays until the next time. */
async function remove(client: ClientBase, name: string): Promise<void> {
  try {
    await dropDatabase(client, name)
  } catch (error) {
    if (!hasSqlState(error, SQLSTATE.objectInUse, SQLSTATE.insufficientPrivilege)) throw error
  }
}

async function locked<T>(
  client: ClientBase,
  mode: 'shared' | 'exclusive',
  work: () => Promise<T>,
): Promise<T> {
  const suffix = mode === 'shared' ? '_shared' : ''
  await client.query(`select pg_advisory_lock${suffix}(${LOCK})`)
  try {
    return await work()
  } finally {
    // With a connection that is lost, its locks are.
    await client.query(`select pg_advisory_unlock${suffix}(${LOCK})`).catch(() => undefined)
  }
}
