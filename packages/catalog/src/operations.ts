import { randomUUID } from 'node:crypto'
import {
  type ClusterId,
  clusterIdSchema,
  dataDatabaseIdSchema,
  type Epoch,
  FreeholdError,
  type Isolation,
  isolationSchema,
  jurisdictionSchema,
  type MoveProgress,
  movePhaseSchema,
  moveProgressSchema,
  type OperationId,
  operationIdSchema,
  problemSchema,
  regionIdSchema,
  slugSchema,
  type TenantId,
  tenantIdSchema,
} from '@freehold/contract'
import { z } from 'zod'
import type { CatalogDatabase, Queries } from './database.ts'
import { insertEvent } from './events.ts'
import { type IdempotentRequest, takeKey } from './idempotency.ts'
import {
  type MoveTerms,
  OPERATED_COLUMNS,
  OPERATED_JOINS,
  operatedColumns,
  recordTerms,
} from './operated-moves.ts'
import { PLACEMENT_COLUMNS, PLACEMENT_JOINS, placementRow } from './placements.ts'
import { clusterDraining, residencyViolation, withRefusals } from './refusals.ts'
import { bigintRow, instantRow } from './rows.ts'
import { readTenant } from './tenants.ts'

/** A durable operation as the catalog has it; `state` belongs to the engine, which checks it. */
export type Operation = z.output<typeof operationRow>

export const operationRow = z
  .object({
    id: operationIdSchema,
    tenantId: tenantIdSchema,
    slug: slugSchema,
    phase: movePhaseSchema,
    targetCluster: clusterIdSchema,
    targetRegion: regionIdSchema,
    targetJurisdiction: jurisdictionSchema,
    targetIsolation: isolationSchema,
    targetDatabase: z.string(),
    targetSchema: z.string(),
    targetDatabaseId: dataDatabaseIdSchema.nullable(),
    state: z.unknown(),
    progress: moveProgressSchema,
    cancelRequested: z.boolean(),
    switchIntended: z.boolean(),
    rollbackWindowSeconds: z.int(),
    windowClosesAt: instantRow.nullable(),
    /** By the catalog's clock, when the operation was read. */
    windowClosed: z.boolean(),
    rollbackRequested: z.boolean(),
    rollbackError: problemSchema.nullable(),
    error: problemSchema.nullable(),
    attempts: z.int(),
    fencingToken: bigintRow,
    createdBy: z.string(),
    createdAt: instantRow,
    updatedAt: instantRow,
    finishedAt: instantRow.nullable(),
    ...operatedColumns,
    ...placementRow.shape,
  })
  .transform((row) => {
    const {
      isolation,
      region,
      jurisdiction,
      cluster,
      dataDatabaseId,
      database,
      schema,
      epoch,
      ...operation
    } = row
    const source = { isolation, region, jurisdiction, cluster, dataDatabaseId, database, schema, epoch }
    return { ...operation, source }
  })

export const SELECT_OPERATIONS = `
  select operations.id, operations.tenant_id as "tenantId", tenants.slug, operations.phase,
    operations.target_cluster_id as "targetCluster", targets.region_id as "targetRegion",
    operations.target_jurisdiction as "targetJurisdiction", operations.target_isolation as "targetIsolation",
    operations.target_database_name as "targetDatabase", operations.target_schema as "targetSchema",
    target_databases.id as "targetDatabaseId", operations.state, operations.progress,
    operations.cancel_requested as "cancelRequested", operations.switch_intended as "switchIntended",
    operations.rollback_window_seconds as "rollbackWindowSeconds", operations.window_closes_at as "windowClosesAt",
    coalesce(operations.window_closes_at <= clock_timestamp(), false) as "windowClosed",
    operations.rollback_requested as "rollbackRequested", operations.rollback_error as "rollbackError",
    operations.error, operations.attempts, operations.fencing_token as "fencingToken",
    operations.created_by as "createdBy", operations.created_at as "createdAt",
    operations.updated_at as "updatedAt", operations.finished_at as "finishedAt",
    ${PLACEMENT_COLUMNS}, ${OPERATED_COLUMNS}
  from catalog.operations
  join catalog.tenants on tenants.id = operations.tenant_id
  join catalog.placements on placements.tenant_id = operations.tenant_id
    and placements.epoch = operations.source_epoch
  ${PLACEMENT_JOINS}
  join catalog.clusters targets on targets.id = operations.target_cluster_id
  left join catalog.data_databases target_databases
    on target_databases.cluster_id = operations.target_cluster_id
    and target_databases.name = operations.target_database_name
  ${OPERATED_JOINS}`

export interface NewMove {
  readonly tenantId: TenantId
  /** The epoch of the home from which the plan was made; a home that has changed since refuses the move. */
  readonly sourceEpoch: Epoch
  readonly targetClusterId: ClusterId
  readonly targetIsolation: Isolation
  readonly targetDatabaseName: string
  /** A schema of the tenant's own; `public` otherwise. */
  readonly targetSchema: string
  /** How long the source is kept in step after the switch, so that the move can be rolled back; 0: not at all. */
  readonly rollbackWindowSeconds?: number
  readonly createdBy: string
  /** All that is needed to resume, with a version. */
  readonly state: object
  readonly progress: MoveProgress
  /** Shown as the first entry of the timeline. */
  readonly message: string
  readonly terms?: MoveTerms
  readonly request?: IdempotentRequest | undefined
}

export type OperationsCatalog = ReturnType<typeof createOperations>

export function createOperations(database: CatalogDatabase) {
  return {
    /**
     * Records a move that is to be made. It is due at once.
     *
     * @returns the operation; `created` is false when an earlier sending of the same request made it.
     * @throws FreeholdError `tenant_moving` with the id of the running move, `residency_violation`,
     * `target_not_found`, `tenant_not_found`, or `lease_lost` when the tenant's home is no longer that of
     * `sourceEpoch`.
     */
    async startMove(move: NewMove): Promise<{ operation: Operation; created: boolean }> {
      const id = operationIdSchema.parse(randomUUID())
      return withRefusals(startRefusals(database, move), () =>
        database.transaction(async (queries) => {
          const made = await takeKey(queries, move.request, id)
          if (made === undefined) await insertMove(queries, id, move)
          return {
            operation: await readOperation(queries, operationIdSchema.parse(made ?? id)),
            created: made === undefined,
          }
        }),
      )
    },

    /** @throws FreeholdError `move_not_found` */
    get: (id: OperationId): Promise<Operation> => readOperation(database, id),

    /**
     * Asks for a move to be given up; whoever works on it does so. Asking twice is asking once.
     *
     * @throws FreeholdError `move_not_cancellable` from the point of no return on and after the end, or
     * `move_not_found`.
     */
    async requestCancel(id: OperationId): Promise<Operation> {
      const requested = await database.run(
        `update catalog.operations
         set cancel_requested = true, updated_at = clock_timestamp(), run_after = least(run_after, clock_timestamp())
         where id = $1 and finished_at is null and not switch_intended
           and phase not in ('soak', 'finalize', 'rolling_back')`,
        [id],
      )
      const operation = await readOperation(database, id)
      if (requested === 1) return operation
      throw new FreeholdError('move_not_cancellable', `The move is in phase ${operation.phase}.`, {
        details: { move: id, phase: operation.phase },
      })
    },

    /**
     * Asks for a move to be rolled back; whoever works on it does so. Asking twice is asking once.
     *
     * @throws FreeholdError `rollback_not_possible` unless its window is open, `rollback_unsafe` when the source is not
     * in step any more, or `move_not_found`.
     */
    async requestRollback(id: OperationId): Promise<Operation> {
      await database.run(
        `update catalog.operations
         set rollback_requested = true, updated_at = clock_timestamp(), run_after = least(run_after, clock_timestamp())
         where id = $1 and phase = 'soak' and not rollback_requested and rollback_error is null
           and window_closes_at > clock_timestamp()`,
        [id],
      )
      const operation = await readOperation(database, id)
      if (!operation.rollbackRequested || operation.finishedAt !== null) requireRollbackPossible(operation)
      return operation
    },

    /**
     * Ends the rollback window of a move now; it is finalized next. Asking twice is asking once.
     *
     * @throws FreeholdError `move_not_finalizable` unless it has a window that nobody has asked to use, or
     * `move_not_found`.
     */
    async requestFinalize(id: OperationId): Promise<Operation> {
      await database.run(
        `update catalog.operations
         set window_closes_at = least(window_closes_at, clock_timestamp()), updated_at = clock_timestamp(),
           run_after = least(run_after, clock_timestamp())
         where id = $1 and phase = 'soak' and not rollback_requested`,
        [id],
      )
      const operation = await readOperation(database, id)
      if (operation.phase !== 'finalize' && operation.phase !== 'completed') requireFinalizable(operation)
      return operation
    },
  }
}

/** @throws FreeholdError `rollback_not_possible` or `rollback_unsafe` */
export function requireRollbackPossible(operation: Operation): void {
  const { id, phase, windowClosed, windowClosesAt, rollbackError } = operation
  const details = { move: id, phase }
  if (phase !== 'soak' || windowClosesAt === null) {
    throw new FreeholdError('rollback_not_possible', `The move is in phase ${phase}.`, { details })
  }
  if (rollbackError !== null) throw new FreeholdError('rollback_unsafe', rollbackError.detail, { details })
  if (windowClosed) {
    throw new FreeholdError('rollback_not_possible', `The rollback window closed at ${windowClosesAt}.`, {
      details,
    })
  }
}

/** @throws FreeholdError `move_not_finalizable` */
export function requireFinalizable({ id, phase, rollbackRequested }: Operation): void {
  if (phase === 'soak' && !rollbackRequested) return
  const why = rollbackRequested ? 'The move is being rolled back.' : `The move is in phase ${phase}.`
  throw new FreeholdError('move_not_finalizable', why, { details: { move: id, phase } })
}

/** @throws FreeholdError `move_not_found` */
export async function readOperation(queries: Queries, id: OperationId): Promise<Operation> {
  const found = await queries.first(operationRow, `${SELECT_OPERATIONS} where operations.id = $1`, [id])
  if (found !== undefined) return found
  throw new FreeholdError('move_not_found', `There is no move ${id}.`, { details: { move: id } })
}

async function insertMove(queries: Queries, id: OperationId, move: NewMove): Promise<void> {
  const inserted = await queries.run(
    `insert into catalog.operations (id, kind, tenant_id, pinned_to, phase, source_epoch, target_cluster_id,
       target_jurisdiction, target_isolation, target_database_name, target_schema, state, progress, created_by,
       rollback_window_seconds, source_jurisdiction)
     select $1, 'move', tenants.id, tenants.pinned_to, 'planned', placements.epoch, clusters.id,
       clusters.jurisdiction, $5, $6, $7, $8, $9, $10, $11, placements.jurisdiction
     from catalog.tenants
     join catalog.placements on placements.tenant_id = tenants.id and placements.until is null,
       catalog.clusters
     where tenants.id = $2 and placements.epoch = $3 and clusters.id = $4`,
    [
      id,
      move.tenantId,
      move.sourceEpoch,
      move.targetClusterId,
      move.targetIsolation,
      move.targetDatabaseName,
      move.targetSchema,
      JSON.stringify(move.state),
      JSON.stringify(move.progress),
      move.createdBy,
      move.rollbackWindowSeconds ?? 0,
    ],
  )
  if (inserted === 0) throw await explainNothingToMove(queries, move)
  await recordTerms(queries, id, move.terms)
  await insertEvent(queries, id, move.message)
}

async function explainNothingToMove(queries: Queries, move: NewMove): Promise<FreeholdError> {
  const { placement } = await readTenant(queries, move.tenantId)
  if (placement.epoch !== move.sourceEpoch) {
    return new FreeholdError('lease_lost', `The tenant's home has moved on to epoch ${placement.epoch}.`)
  }
  const cluster = move.targetClusterId
  return new FreeholdError('target_not_found', `There is no cluster ${cluster}.`, { details: { cluster } })
}

function startRefusals(database: CatalogDatabase, move: NewMove) {
  return {
    one_active_operation_per_tenant: async () => {
      const { slug, activeMoveId } = await readTenant(database, move.tenantId)
      return new FreeholdError('tenant_moving', `Tenant ${slug} is being moved already.`, {
        details: { tenant: slug, ...(activeMoveId === null ? {} : { move: activeMoveId }) },
      })
    },
    draining_clusters_take_no_moves: () => clusterDraining(move.targetClusterId),
    move_respects_residency: async () => {
      const target = z.object({ tenant: z.string(), residency: z.string(), jurisdiction: z.string() })
      const found = await database.first(
        target,
        `select slug as tenant, pinned_to as residency, jurisdiction
         from catalog.tenants, catalog.clusters where tenants.id = $1 and clusters.id = $2`,
        [move.tenantId, move.targetClusterId],
      )
      return found === undefined ? new FreeholdError('residency_violation') : residencyViolation(found)
    },
  }
}
