import {
  type DatabaseAddress,
  hasSqlState,
  migrate,
  quoteIdentifier,
  SQLSTATE,
  withClient,
} from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { Connections } from '../kept-connections.ts'
import { forgetVanishedTables } from './vanished-tables.ts'

/** The database that every cluster has: where others are created from and sizes are asked for. */
export const MAINTENANCE_DATABASE = 'postgres'

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
  await connections.use(maintenance, (client) => createDatabase(client, silo.database))
  await migrateDataDatabase(silo, migrations)
}

/** Brings a data database to the current schema: Freehold's part first, then the product's. Safe to run twice. */
export async function migrateDataDatabase(owner: DatabaseAddress, migrations: DataMigrations): Promise<void> {
  await withClient(owner, 'freehold-provision', async (client) => {
    await migrate(client, migrations.freehold, 'data')
    await migrate(client, migrations.product, 'product')
    await forgetVanishedTables(client)
  })
}

/** Creates a database that only Freehold's roles may connect to. Safe to run twice. */
export async function createDatabase(maintenance: ClientBase, name: string): Promise<void> {
  const database = quoteIdentifier(name)
  try {
    await maintenance.query(`create database ${database}`)
  } catch (error) {
    if (!hasSqlState(error, SQLSTATE.duplicateDatabase, SQLSTATE.uniqueViolation)) throw error
  }
  await maintenance.query(`revoke connect, temporary on database ${database} from public`)
  await maintenance.query(`grant connect on database ${database} to freehold_mover, freehold_app`)
}

/** Removes a database, and disconnects whoever is still connected to it. Safe to run twice. */
export async function dropDatabase(maintenance: ClientBase, name: string): Promise<void> {
  await maintenance.query(`drop database if exists ${quoteIdentifier(name)} with (force)`)
}
