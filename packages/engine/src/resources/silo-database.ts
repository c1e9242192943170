import { type DatabaseAddress, migrate, withClient } from '@freehold/postgres'
import type { Connections } from '../kept-connections.ts'
import { createDatabase } from './database.ts'
import { withSiloTemplate } from './silo-template.ts'
import { forgetVanishedTables } from './vanished-tables.ts'

/** Where the numbered SQL of a data database is: Freehold's own part, and the product's. */
export interface DataMigrations {
  readonly freehold: string
  readonly product: string
}

/**
 * Creates a database for one tenant and brings it to the current schema. Nobody but Freehold's roles may connect.
 * Safe to run twice.
 *
 * @param maintenance the cluster's maintenance database, as freehold_owner.
 * @param silo the database to be, as freehold_owner.
 */
export async function createSiloDatabase(
  connections: Connections,
  maintenance: DatabaseAddress,
  silo: DatabaseAddress,
  migrations: DataMigrations,
): Promise<void> {
  const fill = (database: string) => migrateDataDatabase({ ...silo, database }, migrations)
  await connections.use(maintenance, (client) =>
    withSiloTemplate(client, migrations, fill, (template) => createDatabase(client, silo.database, template)),
  )
  // What is a copy has everything; one that was left by a worker that was killed may be empty.
  await fill(silo.database)
}

/** Brings a data database to the current schema: Freehold's part first, then the product's. Safe to run twice. */
export async function migrateDataDatabase(owner: DatabaseAddress, migrations: DataMigrations): Promise<void> {
  await withClient(owner, 'freehold-provision', async (client) => {
    await migrate(client, migrations.freehold, 'data')
    await migrate(client, migrations.product, 'product')
    await forgetVanishedTables(client)
  })
}
