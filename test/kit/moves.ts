import type { Catalog, NewMove, Operation } from '@freehold/catalog'
import type { ClusterId, Tenant } from '@freehold/contract'
import { initialProgress } from '@freehold/engine'

/** The progress of a move that has not begun. */
export const noProgress = initialProgress([])

/** Records a move to a silo in the catalog, as the planner does after its checks; nobody works on it. */
export async function recordMove(
  catalog: Catalog,
  tenant: Tenant,
  cluster: ClusterId,
  changes: Partial<NewMove> = {},
): Promise<Operation> {
  const { operation } = await catalog.operations.startMove({
    tenantId: tenant.id,
    sourceEpoch: tenant.placement.epoch,
    targetClusterId: cluster,
    targetIsolation: 'silo',
    targetSchema: 'public',
    targetDatabaseName: `silo_${tenant.slug.replaceAll('-', '_')}`,
    createdBy: 'test',
    state: { version: 1 },
    progress: noProgress,
    message: 'Planned.',
    ...changes,
  })
  return operation
}
