import { type LedgerEntry, ownerAddress } from '@freehold/catalog'
import { withClient } from '@freehold/postgres'
import { expectResident } from '../../database/resident.ts'
import { releaseResource } from '../../resources/release.ts'
import { createSiloDatabase, MAINTENANCE_DATABASE } from '../../resources/silo-database.ts'
import { confirmCreated } from '../created.ts'
import { type Move, openSide, saveState, targetScope } from '../move.ts'
import { targetDatabaseName } from '../names.ts'

/** provisioning: creates the tenant's database and brings it to the current schema. */
export async function provision(move: Move): Promise<'provisioned'> {
  const { ledger } = move.catalog
  const name = targetDatabaseName(move.target.database, move.lease)
  if (name !== move.target.database) await beginAnew(move, name)
  await ledger.record(move.lease, targetEntry(move))
  await move.barrier('provisioning.recorded')
  const { cluster, owner } = move.target
  const maintenance = await ownerAddress(cluster, MAINTENANCE_DATABASE)
  await createSiloDatabase(maintenance, owner, move.settings.migrations)
  await confirmCreated(move, [targetEntry(move)])
  const scope = await targetScope(move)
  await withClient(scope.mover, 'freehold-provision', (client) => expectResident(client, scope))
  await saveState(move, { copyAttempts: move.state.copyAttempts + 1 })
  return 'provisioned'
}

/**
 * What an earlier worker has copied, if it came so far, was loaded under a snapshot that is gone. The copy begins anew,
 * in a database whose name is this lease's own: the earlier worker may still be at work on the old one.
 */
async function beginAnew(move: Move, name: string): Promise<void> {
  const former = targetEntry(move)
  const { cluster, schema, epoch } = move.target
  await move.catalog.operations.retarget(move.lease, name)
  move.target = await openSide(move.catalog, { cluster: cluster.id, database: name, schema, epoch })
  await move.barrier('provisioning.retargeted')
  await releaseResource(move.catalog, former)
}

/** The target database as the ledger names it. */
export function targetEntry(move: Move): LedgerEntry {
  const { cluster, database } = move.target
  return {
    operationId: move.operation.id,
    clusterId: cluster.id,
    kind: 'database',
    databaseName: database,
    name: database,
  }
}
