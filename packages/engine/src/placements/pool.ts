import { withClient } from '@freehold/postgres'
import { stagedSink } from '../copy/staged-sink.ts'
import { requireForeignKeys } from '../database/foreign-keys.ts'
import { connectionName } from '../database/former-connections.ts'
import { keyCollision } from '../database/key-collision.ts'
import { targetScope } from '../move/move.ts'
import { takeTarget, targetClaim } from '../move/take-target.ts'
import { removeExpectedTenant } from '../resources/tenant-rows.ts'
import { expectTenant, type TargetPlacement } from './target-placement.ts'

/** The shared tables of a pool, where others live and work. */
export const pool: TargetPlacement = {
  entry: (move) => ({
    operationId: move.operation.id,
    clusterId: move.target.cluster.id,
    kind: 'tenant_rows',
    databaseName: move.target.database,
    name: move.operation.tenantId,
  }),

  async provision(move) {
    await move.catalog.ledger.record(move.lease, pool.entry(move))
    await move.barrier('provisioning.recorded')
    await withClient(move.target.mover, connectionName('provision', move.lease), async (client) => {
      await takeTarget(move, client)
      await removeExpectedTenant(client, {
        tenantId: move.operation.tenantId,
        claim: targetClaim(move),
      })
    })
    await expectTenant(move)
  },

  async load(move, fill) {
    const scope = await targetScope(move)
    await withClient(scope.mover, 'freehold-claim', (client) => takeTarget(move, client))
    try {
      await fill({ into: stagedSink(scope), parts: Promise.resolve([]) })
    } catch (error) {
      throw keyCollision(error) ?? error
    }
  },

  async inspect(move, tables) {
    const scope = await targetScope(move)
    await move.connections.use(scope.mover, (client) =>
      requireForeignKeys(
        client,
        scope,
        tables.map(({ target }) => target),
      ),
    )
  },
}
