import { withClient } from '@freehold/postgres'
import { confirmCreated } from '../move/created.ts'
import { takeTarget } from '../move/take-target.ts'
import { createTenantSchema } from '../resources/tenant-schema.ts'
import { beginAnew, inspectOwnTables, loadBare } from './own-tables.ts'
import { expectTenant, type TargetPlacement } from './target-placement.ts'

/** A schema of the tenant's own in a pool. */
export const schema: TargetPlacement = {
  entry: (move) => ({
    operationId: move.operation.id,
    clusterId: move.target.cluster.id,
    kind: 'schema',
    databaseName: move.target.database,
    name: move.target.schema,
  }),

  async provision(move) {
    // Before the former schema goes: a database has one mark of a tenant and epoch, and a slow worker could put the
    // former one back.
    await withClient(move.target.mover, 'freehold-provision', (client) => takeTarget(move, client))
    await beginAnew(move, schema, 'schema')
    await move.catalog.ledger.record(move.lease, schema.entry(move))
    await move.barrier('provisioning.recorded')
    await withClient(move.target.owner, 'freehold-provision', (owner) =>
      createTenantSchema(owner, move.target.schema, move.settings.migrations.product),
    )
    await move.barrier('provisioning.created')
    await confirmCreated(move, [schema.entry(move)])
    await expectTenant(move)
  },

  load: loadBare,
  inspect: inspectOwnTables,
}
