import type { Advance } from '@freehold/catalog'
import {
  FreeholdError,
  isFreeholdError,
  isTerminalPhase,
  type MovePhase,
  type terminalMovePhases,
} from '@freehold/contract'
import { hasSqlState, SQLSTATE } from '@freehold/postgres'
import { EngineStopping } from '../engine-stopping.ts'
import { classifyFailure } from '../failure.ts'
import { KeptConnections } from '../kept-connections.ts'
import { holdStep } from './hold.ts'
import { closeSession, directionOf, type Move, type OpenMove, openMove, saveState } from './move.ts'
import { isFinal, isSchemaChange, refusedValue } from './outcome.ts'
import { turnedState } from './state.ts'
import { awaitCalm } from './steps/await-calm.ts'
import { backfill } from './steps/backfill.ts'
import { cleanUp } from './steps/clean-up.ts'
import { createStream } from './steps/create-stream.ts'
import { finalize } from './steps/finalize.ts'
import { preflight } from './steps/preflight.ts'
import { provision } from './steps/provision.ts'
import { rollBack } from './steps/roll-back.ts'
import { type Rest, soak } from './steps/soak.ts'
import { switchHome } from './steps/switch-home.ts'
import { verify } from './steps/verify.ts'
import { targetGone } from './target-gone.ts'
import { describeEvent } from './timeline.ts'
import { isAbortable, type MoveEventKind, transition } from './transitions.ts'

type Outcome =
  | MoveEventKind
  | { readonly event: 'given_up' | 'schema_changed'; readonly error: FreeholdError }
  | Rest

/** Who a move that has paused by itself is paused by. */
const BY_ITSELF = 'freehold'

type RunningPhase = Exclude<MovePhase, (typeof terminalMovePhases)[number]>

/** The runbook: what is done in each phase. Each step may be run again from its beginning, by any worker. */
const steps: Record<RunningPhase, (move: Move) => Promise<Outcome>> = {
  planned: preflight,
  provisioning: provision,
  dual_write: createStream,
  backfill,
  verify,
  ready: awaitCalm,
  cutover: switchHome,
  soak,
  finalize,
  aborting: cleanUp,
  rolling_back: rollBack,
}

/**
 * Takes a move from where it stands to its end, or to where it rests, as long as this worker holds the lease.
 *
 * @returns after how many ms it is to be taken up again; undefined when it has ended.
 * @throws whatever a step throws that another attempt may cure, and FreeholdError `lease_lost`.
 */
export async function runMove(open: OpenMove): Promise<number | undefined> {
  const connections = new KeptConnections(open.lease)
  let move = await openMove(open, connections)
  let phase = move.operation.phase
  try {
    await endFormer(move)
    while (!isTerminalPhase(phase)) {
      const next = await runStep(move, phase)
      if (typeof next !== 'string') return next.restMs
      phase = next
      if (!isTerminalPhase(phase) && directionOf(phase) !== move.direction) move = await turn(move, open)
    }
    return undefined
  } catch (error) {
    if (error instanceof EngineStopping && phase === 'backfill') await uncountCopy(move)
    throw error
  } finally {
    await closeSession(move)
    await connections.close()
    await move.progress.settle()
  }
}

/** A server that cannot be reached is met by the step that needs it. */
async function endFormer({ connections, lease, source, target }: Move): Promise<void> {
  if (lease.token === 1) return
  const connected = [source, target].map(({ mover }) => connections.use(mover, async () => undefined))
  await Promise.allSettled(connected)
}

/** A copy that ends because its worker is stopped in order says nothing about whether another would come to its end. */
async function uncountCopy(move: Move): Promise<void> {
  if (move.session.snapshot === undefined) return
  // Counted all the same, when the catalog cannot be told: that is no reason not to stop.
  await saveState(move, { copyAttempts: move.state.copyAttempts - 1 }).catch(() => undefined)
}

/** From here on the move is seen from its other end. */
async function turn(move: Move, open: OpenMove): Promise<Move> {
  await closeSession(move)
  const operation = await open.catalog.operations.get(open.lease.id)
  return openMove({ ...open, operation }, move.connections)
}

async function runStep(move: Move, phase: RunningPhase): Promise<MovePhase | Rest> {
  const outcome = await stepOutcome(move, phase)
  if (typeof outcome !== 'string' && 'restMs' in outcome) return outcome
  const { event, error } = typeof outcome === 'string' ? { event: outcome, error: undefined } : outcome
  const next = transition(phase, event)
  await move.progress.settle()
  if (isTerminalPhase(next)) move.progress.finish(move.operation.createdAt)
  await move.catalog.operations.advance({
    ...move.lease,
    fromPhase: phase,
    toPhase: next,
    state: event === 'switched' ? turnedState(move.state) : move.state,
    progress: move.progress.current,
    message: describeEvent(event, move, error),
    ...reasonOf(event, error),
  })
  // What was last heard is from before the pause.
  if (event === 'schema_changed') await move.orders.renew()
  await move.barrier(`${next}.entered`)
  return next
}

function reasonOf(event: MoveEventKind, error: FreeholdError | undefined): Pick<Advance, 'error' | 'pause'> {
  if (error === undefined) return {}
  if (event !== 'schema_changed') return { error: error.toProblem() }
  return { pause: { by: BY_ITSELF, because: classifyFailure(error) } }
}

/** A failure that no further attempt can cure ends the move, as long as it can be ended without a trace. */
async function stepOutcome(move: Move, phase: RunningPhase): Promise<Outcome> {
  try {
    if (isAbortable(phase)) move.signal.throwIfAborted()
    await holdStep(move, phase)
    return await steps[phase](move)
  } catch (error) {
    const reason = isAbortable(phase) || !isCancel(move.signal.reason) ? move.signal.reason : undefined
    const cause =
      reason ??
      withoutRoom(move, phase, error) ??
      (isAbortable(phase) ? await targetGone(move, error) : undefined) ??
      refusedValue(error) ??
      error
    if (isSchemaChange(phase, cause)) {
      // What is open belongs to a copy that will be replaced.
      await closeSession(move)
      return { event: 'schema_changed', error: cause }
    }
    if (isAbortable(phase) && isFinal(cause)) return { event: 'given_up', error: cause }
    throw cause
  }
}

/** Tried again, a copy would only fill the disk again. While it is made, the source does nothing but read. */
function withoutRoom(move: Move, phase: MovePhase, error: unknown): FreeholdError | undefined {
  if (!hasSqlState(error, SQLSTATE.diskFull) || (phase !== 'provisioning' && phase !== 'backfill')) return
  const cluster = move.target.cluster.id
  return new FreeholdError('target_without_room', `The disk of cluster ${cluster} is full.`, {
    cause: error,
    details: { cluster },
  })
}

/** A cancel explains why a step has stopped that heeds it; from the switch on, and while it is carried out, none does. */
function isCancel(reason: unknown): boolean {
  return isFreeholdError(reason, 'move_cancelled')
}
