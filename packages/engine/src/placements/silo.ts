import { ownerAddress } from '@freehold/catalog'
import { confirmCreated } from '../move/created.ts'
import { MAINTENANCE_DATABASE } from '../resources/database.ts'
import { createSiloDatabase } from '../resources/silo-database.ts'
import { beginAnew, inspectOwnTables, loadBare } from './own-tables.ts'
import { expectTenant, type TargetPlacement } from './target-placement.ts'

/** A database of the tenant's own. */
export const silo: TargetPlacement = {
  entry: (move) => ({
    operationId: move.operation.id,
    clusterId: move.target.cluster.id,
    kind: 'database',
    databaseName: move.target.database,
    name: move.target.database,
  }),

  async provision(move) {
    await beginAnew(move, silo, 'database')
    await move.catalog.ledger.record(move.lease, silo.entry(move))
    await move.barrier('provisioning.recorded')
    const { cluster, owner } = move.target
    const maintenance = await ownerAddress(cluster, MAINTENANCE_DATABASE)
    await createSiloDatabase(move.connections, maintenance, owner, move.settings.migrations)
    await move.barrier('provisioning.created')
    await confirmCreated(move, [silo.entry(move)])
    await expectTenant(move)
  },

  load: loadBare,
  inspect: inspectOwnTables,
}
