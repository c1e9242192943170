import { createDatabase, MAINTENANCE_DATABASE, migrateDataDatabase } from '@freehold/engine'
import { migrate, quoteIdentifier, withClient } from '@freehold/postgres'
import type { ClusterRole } from '../cluster-roles.ts'
import type { StackCluster } from './clusters.ts'
import { DATABASES, MIGRATIONS } from './layout.ts'

const APPLICATION = 'freehold-stack'

/** Creates the control database, or brings it to the current schema. */
export async function prepareCatalogDatabase(on: StackCluster): Promise<void> {
  await ensureDatabase(on, DATABASES.catalog, 'freehold_owner', ['freehold_control', 'freehold_reader'])
  await withClient(on.as('freehold_owner', DATABASES.catalog), APPLICATION, async (client) => {
    await migrate(client, MIGRATIONS.catalog, 'catalog')
  })
}

/** Creates the database of the queue. Its tables are the queue's own affair, so whoever uses it owns it. */
export async function prepareQueueDatabase(on: StackCluster): Promise<void> {
  await ensureDatabase(on, DATABASES.queue, 'freehold_control', [])
}

/** Creates the pool of a cluster, or brings it to the current schema. */
export async function preparePool(on: StackCluster): Promise<void> {
  await withClient(on.as('freehold_owner', MAINTENANCE_DATABASE), APPLICATION, async (client) => {
    await createDatabase(client, DATABASES.pool)
  })
  await migrateDataDatabase(on.as('freehold_owner', DATABASES.pool), {
    freehold: MIGRATIONS.data,
    product: MIGRATIONS.product,
  })
}

/** Creates a database that only its owner and the given roles may connect to, unless there is one. */
async function ensureDatabase(
  on: StackCluster,
  name: string,
  owner: ClusterRole,
  guests: readonly ClusterRole[],
): Promise<void> {
  const database = quoteIdentifier(name)
  await withClient(on.cluster.address(MAINTENANCE_DATABASE), APPLICATION, async (client) => {
    const existing = await client.query('select from pg_database where datname = $1', [name])
    if (existing.rowCount === 0)
      await client.query(`create database ${database} owner ${quoteIdentifier(owner)}`)
    await client.query(`revoke connect, temporary on database ${database} from public`)
    for (const role of guests) {
      await client.query(`grant connect on database ${database} to ${quoteIdentifier(role)}`)
    }
  })
}
