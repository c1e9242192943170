import {
  epochSchema,
  isTerminalPhase,
  type Move,
  type MoveDetail,
  type MoveEvent,
  type MovePage,
  type MoveQuery,
  type OperationId,
  type RollbackWindow,
} from '@freehold/contract'
import type { CatalogDatabase } from './database.ts'
import { readEvents } from './events.ts'
import { operatedMove } from './operated-moves.ts'
import { type Operation, operationRow, readOperation, SELECT_OPERATIONS } from './operations.ts'
import { operationCursor } from './pages.ts'
import { readTenant } from './tenants.ts'

export type MovesCatalog = ReturnType<typeof createMoves>

/** Moves as people see them. */
export function createMoves(database: CatalogDatabase) {
  return {
    /** @throws FreeholdError `move_not_found` */
    async get(id: OperationId): Promise<Move> {
      return toMove(await readOperation(database, id))
    },

    /** A move with its timeline. @throws FreeholdError `move_not_found` */
    async detail(id: OperationId): Promise<MoveDetail> {
      return { ...toMove(await readOperation(database, id)), events: await readEvents(database, id, 0) }
    },

    /** The timeline after an entry (0: all of it), oldest first. */
    events: (id: OperationId, afterSequence: number): Promise<MoveEvent[]> =>
      readEvents(database, id, afterSequence),

    /** Moves, newest first, a page at a time. @throws FreeholdError `tenant_not_found` */
    async list(query: MoveQuery): Promise<MovePage> {
      const tenant = query.tenant === undefined ? null : await readTenant(database, query.tenant)
      const found = await database.all(
        operationRow,
        `${SELECT_OPERATIONS}
         where ($1::text is null or operations.tenant_id = $1)
           and ($2::boolean is null or (operations.finished_at is null) = $2)
           and ($3::uuid is null or (operations.created_at, operations.id) <
             (select created_at, id from catalog.operations where id = $3))
         order by operations.created_at desc, operations.id desc limit $4`,
        [tenant?.id ?? null, query.active ?? null, operationCursor(query.cursor), query.limit + 1],
      )
      const items = found.slice(0, query.limit).map(toMove)
      return { items, nextCursor: found.length > items.length ? (items.at(-1)?.id ?? null) : null }
    },
  }
}

/** An operation as the wire shows it: without state, lease and token. */
export function toMove(operation: Operation): Move {
  const { targetDatabaseId } = operation
  return {
    id: operation.id,
    tenant: { id: operation.tenantId, slug: operation.slug },
    phase: operation.phase,
    from: operation.source,
    to: {
      isolation: operation.targetIsolation,
      region: operation.targetRegion,
      jurisdiction: operation.targetJurisdiction,
      cluster: operation.targetCluster,
      database: operation.targetDatabase,
      schema: operation.targetSchema,
      epoch: epochSchema.parse(operation.source.epoch + 1),
      ...(targetDatabaseId === null ? {} : { dataDatabaseId: targetDatabaseId }),
    },
    progress: operation.progress,
    rollback: rollbackWindow(operation),
    cancelRequested: operation.cancelRequested,
    ...operatedMove(operation),
    error: operation.error,
    createdAt: operation.createdAt,
    updatedAt: operation.updatedAt,
    finishedAt: operation.finishedAt,
  }
}

function rollbackWindow(operation: Operation): RollbackWindow | null {
  const { rollbackWindowSeconds: seconds, windowClosesAt, rollbackRequested, rollbackError } = operation
  if (seconds === 0) return null
  return {
    seconds,
    closesAt: rollbackRequested ? null : windowClosesAt,
    state: windowState(operation),
    problem: rollbackError,
    trouble: windowTrouble(operation),
  }
}

function windowTrouble({ phase, lastFailure, failingSince }: Operation): RollbackWindow['trouble'] {
  const isKept = phase === 'soak' || phase === 'rolling_back'
  if (!isKept || lastFailure === null || failingSince === null) return null
  return { since: failingSince, code: lastFailure.code, reason: lastFailure.message }
}

function windowState(operation: Operation): RollbackWindow['state'] {
  const { phase, windowClosed, rollbackRequested } = operation
  if (phase === 'finalize' || isTerminalPhase(phase)) return 'closed'
  if (rollbackRequested) return 'requested'
  if (windowClosed) return 'closed'
  if (operation.rollbackError !== null) return 'unsafe'
  return operation.windowClosesAt === null ? 'pending' : 'open'
}
