import { FreeholdError, type MovePhase, type OperationId, straightMovePhases } from '@freehold/contract'
import type { CatalogDatabase } from './database.ts'
import { insertEvent } from './events.ts'
import { type Operation, readOperation } from './operations.ts'

/** Phases in which a pause is kept to. From the switch on a move belongs to its new home and goes on. */
const PAUSABLE: readonly MovePhase[] = straightMovePhases.filter(
  (phase) => phase !== 'soak' && phase !== 'completed',
)

export type MoveOrdersCatalog = ReturnType<typeof createMoveOrders>

/** What people ask of moves that have been started. */
export function createMoveOrders(database: CatalogDatabase) {
  return {
    /**
     * Asks for a move to go no further until it is resumed; its change stream and what was copied stay. Once this is
     * answered, the move is not switched. Asking twice is asking once.
     *
     * @throws FreeholdError `move_not_pausable` while it is being switched or given up, and after its end, or
     * `move_not_found`.
     */
    async requestPause(id: OperationId, by: string): Promise<Operation> {
      const operation = await change(
        database,
        id,
        `paused_at = clock_timestamp(), paused_by = $2`,
        `paused_at is null and not cancel_requested and phase = any ($3)
         and not (phase = 'cutover' and switch_intended)`,
        [by, PAUSABLE],
        `Paused by ${by}.`,
      )
      if (operation.pausedAt !== null) return operation
      const { phase } = operation
      throw new FreeholdError('move_not_pausable', `The move is in phase ${phase}.`, {
        details: { move: id, phase },
      })
    },

    /** Lets a paused move go on; nothing happens to one that is not paused. @throws FreeholdError `move_not_found` */
    resume: (id: OperationId, by: string): Promise<Operation> =>
      change(
        database,
        id,
        'paused_at = null, paused_by = null, last_failure = null, run_after = least(run_after, clock_timestamp())',
        'paused_at is not null',
        [],
        `Resumed by ${by}.`,
      ),

    /**
     * Lets the switch of a move begin that waits for it, or will. Approving twice is approving once.
     *
     * @throws FreeholdError `move_needs_no_approval` or `move_not_found`.
     */
    async approve(id: OperationId, by: string): Promise<Operation> {
      const operation = await change(
        database,
        id,
        'approved_at = clock_timestamp(), approved_by = $2',
        'needs_approval and approved_at is null and not cancel_requested',
        [by],
        `The switch is approved by ${by}.`,
      )
      if (operation.approvedAt !== null) return operation
      throw new FreeholdError('move_needs_no_approval', undefined, { details: { move: id } })
    },
  }
}

/** Makes the change and tells of it in the timeline, if the condition holds. @returns the operation either way. */
async function change(
  database: CatalogDatabase,
  id: OperationId,
  assignments: string,
  condition: string,
  values: readonly unknown[],
  message: string,
): Promise<Operation> {
  return database.transaction(async (queries) => {
    const changed = await queries.run(
      `update catalog.operations set ${assignments}, updated_at = clock_timestamp()
       where id = $1 and finished_at is null and ${condition}`,
      [id, ...values],
    )
    if (changed === 1) await insertEvent(queries, id, message)
    return readOperation(queries, id)
  })
}
