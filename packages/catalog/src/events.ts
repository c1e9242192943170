import { type MoveEvent, movePhaseSchema, type OperationId } from '@freehold/contract'
import { z } from 'zod'
import type { Queries } from './database.ts'
import { instantRow } from './rows.ts'

const eventRow = z.object({
  sequence: z.int(),
  at: instantRow,
  phase: movePhaseSchema,
  message: z.string(),
})

/** The timeline of an operation after an entry (0: all of it), oldest first. */
export async function readEvents(
  queries: Queries,
  operationId: OperationId,
  afterSequence: number,
): Promise<MoveEvent[]> {
  return queries.all(
    eventRow,
    `select sequence, at, phase, message from catalog.operation_events
     where operation_id = $1 and sequence > $2 order by sequence`,
    [operationId, afterSequence],
  )
}

/**
 * Adds to the timeline, in the phase that the operation is in. The caller's transaction must hold the
 * operation's row, so that two entries do not take one number.
 */
export async function insertEvent(
  queries: Queries,
  operationId: OperationId,
  message: string,
): Promise<void> {
  await queries.run(
    `insert into catalog.operation_events (operation_id, sequence, phase, message)
     select id, coalesce((select max(sequence) from catalog.operation_events where operation_id = $1), 0) + 1,
       phase, $2
     from catalog.operations where id = $1`,
    [operationId, message],
  )
}
