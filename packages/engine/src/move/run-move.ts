import { FreeholdError, isTerminalPhase, type MovePhase } from '@freehold/contract'
import { holdStep } from './hold.ts'
import { closeSession, type Move, type OpenMove, openMove } from './move.ts'
import { awaitCalm } from './steps/await-calm.ts'
import { backfill } from './steps/backfill.ts'
import { cleanUp } from './steps/clean-up.ts'
import { createStream } from './steps/create-stream.ts'
import { finalize } from './steps/finalize.ts'
import { preflight } from './steps/preflight.ts'
import { provision } from './steps/provision.ts'
import { switchHome } from './steps/switch-home.ts'
import { verify } from './steps/verify.ts'
import { describeEvent } from './timeline.ts'
import { isAbortable, type MoveEventKind, transition } from './transitions.ts'

type Outcome = MoveEventKind | { readonly event: 'given_up'; readonly error: FreeholdError }

/** The runbook: what is done in each phase. Each step may be run again from its beginning, by any worker. */
const steps: Record<Exclude<MovePhase, 'completed' | 'aborted'>, (move: Move) => Promise<Outcome>> = {
  planned: preflight,
  provisioning: provision,
  dual_write: createStream,
  backfill,
  verify,
  ready: awaitCalm,
  cutover: switchHome,
  finalize,
  aborting: cleanUp,
}

/**
 * Takes a move from where it stands to its end, as long as this worker holds the lease.
 *
 * @throws whatever a step throws that another attempt may cure, and FreeholdError `lease_lost`.
 */
export async function runMove(open: OpenMove): Promise<void> {
  const move = await openMove(open)
  let phase = move.operation.phase
  try {
    while (!isTerminalPhase(phase)) phase = await runStep(move, phase)
  } finally {
    await closeSession(move)
    await move.progress.settle()
  }
}

async function runStep(move: Move, phase: keyof typeof steps): Promise<MovePhase> {
  const outcome = await stepOutcome(move, phase)
  const { event, error } = typeof outcome === 'string' ? { event: outcome, error: undefined } : outcome
  const next = transition(phase, event)
  await move.progress.settle()
  if (isTerminalPhase(next)) move.progress.finish(move.operation.createdAt)
  await move.catalog.operations.advance({
    ...move.lease,
    fromPhase: phase,
    toPhase: next,
    state: move.state,
    progress: move.progress.current,
    message: describeEvent(event, move, error),
    ...(error === undefined ? {} : { error: error.toProblem() }),
  })
  await move.barrier(`${next}.entered`)
  return next
}

/** A failure that no further attempt can cure ends the move, as long as it can be ended without a trace. */
async function stepOutcome(move: Move, phase: keyof typeof steps): Promise<Outcome> {
  try {
    if (isAbortable(phase)) move.signal.throwIfAborted()
    await holdStep(move, phase)
    return await steps[phase](move)
  } catch (error) {
    const cause = move.signal.aborted ? move.signal.reason : error
    if (isAbortable(phase) && isFinal(cause)) return { event: 'given_up', error: cause }
    throw cause
  }
}

/** Errors of Freehold's own are answers; of them only these may be different the next time. */
function isFinal(error: unknown): error is FreeholdError {
  return (
    error instanceof FreeholdError &&
    ![
      'lease_lost',
      'catalog_unavailable',
      'source_unreachable',
      'target_unreachable',
      'source_busy',
    ].includes(error.code)
  )
}
