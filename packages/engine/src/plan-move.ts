import { randomBytes } from 'node:crypto'
import type { IdempotentRequest } from '@freehold/catalog'
import {
  type Catalog,
  type ClusterRecord,
  moverAddress,
  type Operation,
  residencyViolation,
  toMove,
} from '@freehold/catalog'
import {
  epochSchema,
  FreeholdError,
  isFreeholdError,
  type Move,
  type MovePlan,
  type MoveTarget,
  type Tenant,
} from '@freehold/contract'
import { deriveEntryKey } from '@freehold/postgres'
import { checkMove } from './move/preflight.ts'
import { initialMoveState, initialProgress } from './move/state.ts'

export interface MoveRequest {
  readonly tenantIdOrSlug: string
  readonly target: MoveTarget
  readonly entrySecret: string
}

/** A move that has passed every check, and what it will do. */
export interface PreparedMove {
  readonly tenant: Tenant
  readonly plan: MovePlan
}

/**
 * Finds out what a move would do, and whether it can work. Changes nothing.
 *
 * @throws FreeholdError `tenant_not_found`, `tenant_moving`, `region_not_found`, `target_not_found`,
 * `residency_violation`, `target_is_home`, and what `checkMove` throws.
 */
export async function planMove(catalog: Catalog, request: MoveRequest): Promise<PreparedMove> {
  const tenant = await catalog.tenants.get(request.tenantIdOrSlug)
  refuseSecondMove(tenant)
  const candidates = await findCandidates(catalog, request.target)
  refuseOtherJurisdiction(tenant, candidates)
  const { placement } = tenant
  const source = {
    tenantId: tenant.id,
    epoch: placement.epoch,
    entryKey: deriveEntryKey(request.entrySecret, {
      tenantId: tenant.id,
      dataDatabaseId: placement.dataDatabaseId,
      epoch: placement.epoch,
    }),
    schema: placement.schema,
    mover: await moverAddress(await catalog.topology.cluster(placement.cluster), placement.database),
  }
  const { cluster, tables } = await firstWithRoom(candidates, async (candidate) => {
    refuseHome(tenant, candidate)
    return checkMove({ source, target: candidate })
  })
  return {
    tenant,
    plan: {
      tenant: { id: tenant.id, slug: tenant.slug },
      from: placement,
      to: {
        isolation: 'silo',
        region: cluster.region,
        jurisdiction: cluster.jurisdiction,
        cluster: cluster.id,
        database: siloName(tenant),
        schema: 'public',
        epoch: epochSchema.parse(placement.epoch + 1),
      },
      tables,
      rowsEstimated: tables.reduce((sum, table) => sum + table.rowsEstimated, 0),
      bytesEstimated: tables.reduce((sum, table) => sum + table.bytesEstimated, 0),
    },
  }
}

/**
 * Records a planned move; workers take it up from there.
 *
 * @throws FreeholdError when the catalog refuses what has changed since the plan: `tenant_moving`,
 * `residency_violation`, `lease_lost` when the tenant has been moved meanwhile.
 */
export async function startMove(
  catalog: Catalog,
  { tenant, plan }: PreparedMove,
  options: { readonly createdBy: string; readonly request?: IdempotentRequest },
): Promise<Move> {
  const { operation }: { operation: Operation } = await catalog.operations.startMove({
    tenantId: tenant.id,
    sourceEpoch: tenant.placement.epoch,
    targetClusterId: plan.to.cluster,
    targetDatabaseName: plan.to.database,
    createdBy: options.createdBy,
    state: initialMoveState,
    progress: initialProgress(plan.tables),
    message: `Planned: ${tenant.slug} moves from ${plan.from.database} to ${plan.to.database} in ${plan.to.region}.`,
    request: options.request,
  })
  return toMove(operation)
}

function refuseSecondMove(tenant: Tenant): void {
  if (tenant.activeMoveId === null) return
  throw new FreeholdError('tenant_moving', `Tenant ${tenant.slug} is being moved already.`, {
    details: { tenant: tenant.slug, move: tenant.activeMoveId },
  })
}

async function findCandidates(catalog: Catalog, target: MoveTarget): Promise<ClusterRecord[]> {
  if (target.cluster !== undefined) return [await catalog.topology.cluster(target.cluster)]
  if (target.region !== undefined) return catalog.topology.clustersIn(target.region)
  throw new FreeholdError('invalid_request', 'Name either a region or a cluster.')
}

/** All clusters of a region are in one jurisdiction. The catalog refuses the same again, by constraint. */
function refuseOtherJurisdiction(tenant: Tenant, candidates: readonly ClusterRecord[]): void {
  const jurisdiction = candidates[0]?.jurisdiction
  if (tenant.residency === null || jurisdiction === undefined || tenant.residency === jurisdiction) return
  throw residencyViolation({ tenant: tenant.slug, residency: tenant.residency, jurisdiction })
}

function refuseHome(tenant: Tenant, candidate: ClusterRecord): void {
  if (tenant.placement.isolation !== 'silo' || tenant.placement.cluster !== candidate.id) return
  throw new FreeholdError('target_is_home', `Tenant ${tenant.slug} already has a silo on ${candidate.id}.`, {
    details: { tenant: tenant.slug, cluster: candidate.id },
  })
}

/** The first cluster that can take the tenant; when none can, why the first cannot. */
async function firstWithRoom<T>(
  candidates: readonly ClusterRecord[],
  check: (candidate: ClusterRecord) => Promise<T>,
): Promise<{ cluster: ClusterRecord; tables: T }> {
  let refusal: unknown
  for (const cluster of candidates) {
    try {
      return { cluster, tables: await check(cluster) }
    } catch (error) {
      if (!isFreeholdError(error, 'target_unreachable', 'target_without_room', 'target_is_home')) throw error
      refusal ??= error
    }
  }
  throw refusal
}

/** Names the tenant for whoever looks at the cluster; the random part makes a second silo possible. */
function siloName(tenant: Tenant): string {
  return `silo_${tenant.slug.replaceAll('-', '_')}_${randomBytes(4).toString('hex')}`
}
