import type { MoveTarget, Tenant } from '@freehold/contract'
import type { MovingGround } from '../../../test/kit/moving-ground.ts'
import { secondsBetween, timeMove } from '../moving/timed-move.ts'

export interface EngineCopy {
  /** Backfill as a whole: copying and building. */
  readonly seconds: number
  /** Until the last row; some of the building is done by then. */
  readonly copySeconds: number
  readonly verifySeconds: number
  readonly rows: number
  readonly bytes: number
}

/**
 * Runs a move up to the point where it would switch, and has it given up there: the tenant stays, so that the next
 * turn copies the same rows.
 *
 * @throws Error when the move ended otherwise, or found a difference.
 */
export async function engineCopy(
  ground: MovingGround,
  tenant: Tenant,
  copyStreams: number,
  signal: AbortSignal,
  to?: MoveTarget,
): Promise<EngineCopy> {
  const { move, first } = await timeMove(ground, tenant, { copyStreams, maxCutoverAttempts: 0 }, signal, to)
  const { verification, rowsCopied, bytesCopied } = move.progress
  if (move.phase !== 'aborted' || verification?.mismatches !== 0 || verification.rows !== rowsCopied) {
    const progress = JSON.stringify({ rowsCopied, bytesCopied, verification })
    throw new Error(`the move ended as ${move.phase} with ${progress}`)
  }
  return {
    seconds: secondsBetween(first('backfill.entered'), first('verify.entered')),
    copySeconds: secondsBetween(first('backfill.entered'), first('backfill.copied')),
    verifySeconds: secondsBetween(first('verify.entered'), first('ready.entered')),
    rows: rowsCopied,
    bytes: bytesCopied,
  }
}
