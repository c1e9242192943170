import { type Catalog, type LedgerEntry, moverAddress, ownerAddress } from '@freehold/catalog'
import { hasSqlState, SQLSTATE, withClient } from '@freehold/postgres'
import { endReaders } from '../database/source-readers.ts'
import { forgetTarget } from '../database/target-claim.ts'
import { type Connections, freshConnections } from '../kept-connections.ts'
import { streamName } from '../move/names.ts'
import { dropChangeTriggers } from './change-triggers.ts'
import { dropDatabase, MAINTENANCE_DATABASE } from './database.ts'
import { dropPublication } from './publication.ts'
import { dropReplicationSlot } from './replication-slot.ts'
import { removeTenantRows } from './tenant-rows.ts'
import { dropTenantSchema } from './tenant-schema.ts'

/**
 * Removes a resource that the ledger names, if it exists, and then its entry. Safe to run twice.
 *
 * @param connections of a worker that has some to the servers.
 * @param removed called in between.
 */
export async function releaseResource(
  catalog: Catalog,
  entry: LedgerEntry,
  connections: Connections = freshConnections('freehold-cleanup'),
  removed?: () => Promise<void>,
): Promise<void> {
  await removeResource(catalog, entry, connections)
  await removed?.()
  await catalog.ledger.release(entry)
}

async function removeResource(catalog: Catalog, entry: LedgerEntry, connections: Connections): Promise<void> {
  const cluster = await catalog.topology.cluster(entry.clusterId)
  switch (entry.kind) {
    case 'database': {
      const maintenance = await ownerAddress(cluster, MAINTENANCE_DATABASE)
      await withClient(maintenance, 'freehold-cleanup', (client) => dropDatabase(client, entry.name))
      const { clusterId, name } = entry
      await catalog.topology.removeDataDatabase(await catalog.topology.registerSilo({ clusterId, name }))
      return
    }
    case 'schema':
      return inDatabase(async () =>
        withClient(await ownerAddress(cluster, entry.databaseName), 'freehold-cleanup', async (client) => {
          await dropTenantSchema(client, entry.name)
          // While the operation goes on, its newest worker may be loading another schema there.
          const { phase, fencingToken } = await catalog.operations.get(entry.operationId)
          if (phase !== 'aborting' && phase !== 'aborted') return
          await forgetTarget(client, { stream: streamName(entry.operationId, 'forth'), fencingToken })
        }),
      )
    case 'tenant_rows':
      return inDatabase(async () =>
        withClient(await moverAddress(cluster, entry.databaseName), 'freehold-cleanup', async (client) => {
          const { fencingToken } = await catalog.operations.get(entry.operationId)
          const claim = { stream: streamName(entry.operationId, 'forth'), fencingToken }
          await removeTenantRows(client, { tenantId: entry.name, claim })
        }),
      )
    case 'publication':
      return inDatabase(async () =>
        connections.use(await ownerAddress(cluster, entry.databaseName), (client) =>
          dropPublication(client, entry.name),
        ),
      )
    case 'change_triggers':
      return inDatabase(async () =>
        withClient(await ownerAddress(cluster, entry.databaseName), 'freehold-cleanup', async (client) => {
          const { operationId } = entry
          await endReaders(client, [streamName(operationId, 'forth'), streamName(operationId, 'back')])
          await dropChangeTriggers(client, entry.name)
        }),
      )
    case 'replication_slot':
      return inDatabase(async () =>
        connections.use(await moverAddress(cluster, entry.databaseName), (client) =>
          dropReplicationSlot(client, entry.name),
        ),
      )
  }
}

/** What was in a database that is gone is gone with it. */
async function inDatabase(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!hasSqlState(error, SQLSTATE.invalidCatalogName)) throw error
  }
}
