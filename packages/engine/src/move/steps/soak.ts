import { FreeholdError, isFreeholdError } from '@freehold/contract'
import { hasSqlState, SQLSTATE } from '@freehold/postgres'
import { runningApplier } from '../applier-session.ts'
import { catchUp } from '../catch-up.ts'
import { closeSession, type Move } from '../move.ts'
import { isFinal, mayPass, refusedValue } from '../outcome.ts'
import { targetGone } from '../target-gone.ts'
import { MAX_ATTEMPTS } from '../transitions.ts'
import { releaseStreams, turnRound } from '../turn-round.ts'

/** A table was made or changed so that the tenant could not be moved. Those of the move may be what they were all the same. */
const TABLES_TO_MEND = [
  'table_without_tenant_column',
  'table_without_primary_key',
  'table_with_replica_trigger',
  'table_not_protected',
  'move_blocked',
] as const

/** There is nothing to do for a while; the operation is given back until then. */
export interface Rest {
  readonly restMs: number
}

/**
 * soak: the tenant lives at its new home, and the old one is kept in step for as long as the rollback window is open. The worker
 * carries over what there is and gives the operation back.
 */
export async function soak(move: Move): Promise<'window_closed' | 'rollback_requested' | Rest> {
  if (move.operation.rollbackWindowSeconds === 0) return 'window_closed'
  const { operations } = move.catalog
  let operation = await operations.get(move.operation.id)
  if (operation.rollbackError !== null) {
    // Whoever declared it may not have come to that.
    await releaseStreams(move, null)
  } else if (!operation.rollbackRequested && !operation.windowClosed) {
    await keepInStep(move)
    operation = await operations.get(move.operation.id)
  }
  if (operation.rollbackRequested) return 'rollback_requested'
  if (operation.windowClosed) return 'window_closed'
  return { restMs: move.settings.soakIntervalMs }
}

async function keepInStep(move: Move): Promise<void> {
  try {
    await turnRound(move)
    await carryBack(move)
  } catch (error) {
    const reason = await lostBecause(move, error)
    if (reason === undefined) throw error
    await declareUnsafe(move, reason)
  }
}

/** Carries over what the home has; when that is more than can be done in a turn, the next one goes on where this has come to. */
async function carryBack(move: Move): Promise<void> {
  const applier = await runningApplier(move)
  const stop = () => void applier.close()
  move.signal.addEventListener('abort', stop, { once: true })
  let lagBytes: number
  try {
    lagBytes = await applier.lagBytes()
    await move.barrier('soak.applying')
    const before = applier.changesApplied
    await catchUp(applier, {
      turnMs: move.settings.catchUpTurnMs,
      mayStop: async () => applier.changesApplied > before || isWindowClosed(move),
    })
  } finally {
    move.signal.removeEventListener('abort', stop)
  }
  await move.barrier('soak.applied')
  const { changesApplied } = move.progress.current
  await move.progress.save({ lagBytes, changesApplied: changesApplied + applier.changesApplied })
}

async function isWindowClosed({ catalog, operation }: Move): Promise<boolean> {
  return (await catalog.operations.get(operation.id)).windowClosed
}

/**
 * Why the old home cannot be kept in step any more, if that is so. A server that is away, full or lets nobody in is waited for as
 * long as the window lasts: the changes are kept. What it says of rows and tables is believed when it has said so often enough.
 */
export async function lostBecause(move: Move, error: unknown): Promise<FreeholdError | undefined> {
  if (move.signal.aborted || mayPass(error) || isFreeholdError(error, ...TABLES_TO_MEND)) return undefined
  const final = refusedValue(error) ?? error
  if (isFinal(final)) return final
  if (hasSqlState(error, SQLSTATE.invalidCatalogName)) {
    const gone = await targetGone(move, error)
    return gone && new FreeholdError('change_stream_failed', gone.message, { cause: error })
  }
  const { attempts, lastFailure } = move.operation
  if (lastFailure === null || lastFailure.passing || attempts + 1 < MAX_ATTEMPTS) return undefined
  return new FreeholdError('change_stream_failed', 'The changes could not be carried to the old home.', {
    cause: error,
  })
}

/** The old home is not in step any more, and never will be again: nothing is kept for it. */
export async function declareUnsafe(move: Move, reason: FreeholdError): Promise<void> {
  await closeSession(move)
  const problem = new FreeholdError('rollback_unsafe', reason.message, {
    details: { ...reason.details, cause: reason.code },
  })
  await move.catalog.operations.declareRollbackUnsafe(move.lease, problem.toProblem())
  await move.barrier('soak.declared_unsafe')
  await releaseStreams(move, null)
}
