import { changeStreamChoiceSchema, type MoveProgress } from '@freehold/contract'
import { z } from 'zod'

/**
 * All that a worker needs to resume a move and cannot read elsewhere. It has a version: a worker that finds another
 * refuses the move rather than guess at its meaning.
 */
export const moveStateSchema = z.strictObject({
  version: z.literal(5),
  /** The attempt that may have fenced the source; recorded before it does. */
  cutoverToken: z.uuid().nullable(),
  cutoverAttempts: z.int(),
  /** Switches that were called off before they were attempted. */
  rehearsalsCalledOff: z.int(),
  verifications: z.int(),
  /** Of rows that differ: recorded before it begins, and when it is done; differences that come back then are not repaired. */
  repair: z.enum(['none', 'begun', 'done']),
  /**
   * Copies begun: a copy whose snapshot is lost begins anew, in a fresh database. One that was given back by a worker that is
   * stopped in order does not count.
   */
  copyAttempts: z.int(),
  /** How the tenant is followed; `auto` until the preflight has looked at the source. */
  changeStream: changeStreamChoiceSchema,
  /** How the target's changes will be carried back while the rollback window is open; decided as `changeStream` is. */
  changeStreamBack: changeStreamChoiceSchema,
  /** The change stream in use, by the name of what it made at the source: of the lease that made it. */
  streamAtSource: z.string().nullable(),
  /** The change stream by which the target's changes will be carried back, by the name of what it made there. */
  streamAtTarget: z.string().nullable(),
  /** The stream forward is removed, and the old home expects the tenant. */
  turned: z.boolean(),
})
export type MoveState = z.infer<typeof moveStateSchema>

export const initialMoveState: MoveState = {
  version: 5,
  cutoverToken: null,
  cutoverAttempts: 0,
  rehearsalsCalledOff: 0,
  verifications: 0,
  repair: 'none',
  copyAttempts: 0,
  changeStream: 'auto',
  changeStreamBack: 'auto',
  streamAtSource: null,
  streamAtTarget: null,
  turned: false,
}

/** The state of a move that has been switched: from here on it leads back. */
export function turnedState(state: MoveState): MoveState {
  return {
    ...state,
    changeStream: state.changeStreamBack,
    streamAtSource: state.streamAtTarget,
    streamAtTarget: null,
    cutoverToken: null,
    cutoverAttempts: 0,
    rehearsalsCalledOff: 0,
    verifications: 0,
  }
}

/** The progress of a move that has not begun, for the tables and sizes that the plan has found. */
export function initialProgress(
  tables: readonly { readonly table: string; readonly rowsEstimated: number }[],
): MoveProgress {
  return {
    tables: tables.map(({ table, rowsEstimated }) => ({
      table,
      rowsEstimated,
      rowsCopied: 0,
      bytesCopied: 0,
    })),
    rowsCopied: 0,
    rowsEstimated: tables.reduce((sum, { rowsEstimated }) => sum + rowsEstimated, 0),
    bytesCopied: 0,
    rowsPerSecond: null,
    etaSeconds: null,
    lagBytes: null,
    throttled: null,
    changesApplied: 0,
    verification: null,
    repairedRows: 0,
    cutoverAttempts: 0,
    writePauseMs: null,
    seconds: { backfill: null, verify: null, total: null },
  }
}
