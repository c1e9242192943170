import { createHash } from 'node:crypto'
import { type Migration, quoteIdentifier, readMigrations } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { createDatabase, dropDatabase } from './database.ts'
import type { DataMigrations } from './silo-database.ts'

/** What names of templates begin with; what follows tells apart what they were made of. */
export const TEMPLATE_PREFIX = 'freehold_template_'

/** Held by whoever copies a template, shared, and by whoever makes or removes one. */
const LOCK = "hashtextextended('freehold-silo-template', 0)"

/** Such SQL may leave in a database what is true of that one only, or set something of it that a copy does not get. */
const LOOKS_AT_ITS_DATABASE = /\b(current_database|current_catalog|pg_database|datname)\b/i

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
 * @param work is given no template when one of the product's migrations looks at the database that it runs in.
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
    (await isReady(client, template)) ? { result: await work(template) } : undefined,
  )
  if (copied !== undefined) return copied.result
  return locked(client, 'exclusive', async () => {
    if (!(await isReady(client, template))) await make(client, template, fill)
    return work(template)
  })
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

async function isReady(client: ClientBase, template: string): Promise<boolean> {
  const found = await client.query(
    'select from pg_database where datname = $1 and datistemplate and not datallowconn',
    [template],
  )
  return found.rowCount === 1
}

async function make(
  client: ClientBase,
  template: string,
  fill: (database: string) => Promise<void>,
): Promise<void> {
  await removeTemplates(client)
  await createDatabase(client, template)
  try {
    await fill(template)
  } catch (error) {
    await dropDatabase(client, template)
    throw error
  }
  await client.query(
    `alter database ${quoteIdentifier(template)} with allow_connections = false is_template = true`,
  )
}

/** Those of former migrations, and what is left of one that was never finished. */
async function removeTemplates(client: ClientBase): Promise<void> {
  const found = await client.query<{ name: string }>(
    'select datname as name from pg_database where starts_with(datname, $1)',
    [TEMPLATE_PREFIX],
  )
  for (const { name } of found.rows) {
    await client.query(`alter database ${quoteIdentifier(name)} with is_template = false`)
    await dropDatabase(client, name)
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
