import type { MovePhase } from '@freehold/contract'

/**
 * What a step can report. The table below, docs/protocol.md and the protocol's model say the same; a test holds
 * them against each other.
 */
export type MoveEventKind =
  | 'preflight_passed'
  | 'provisioned'
  | 'stream_created'
  | 'snapshot_lost'
  | 'schema_changed'
  | 'copied'
  | 'verified'
  | 'changes_forgotten'
  | 'settled'
  | 'not_switched'
  | 'switched'
  | 'window_closed'
  | 'rollback_requested'
  | 'returned'
  | 'purged'
  | 'given_up'
  | 'cleaned_up'

/** Attempts in one phase after which a move is given up, if it still can be. */
export const MAX_ATTEMPTS = 8

/** Phases before the point of no return, in which a move can still be given up without a trace. */
type Abortable = 'planned' | 'provisioning' | 'dual_write' | 'backfill' | 'verify' | 'ready'

type Transitions = {
  readonly [Phase in MovePhase]: Readonly<
    Partial<Record<MoveEventKind, MovePhase>> & (Phase extends Abortable ? { given_up: 'aborting' } : unknown)
  >
}

/**
 * Every phase with every event that it can take. An event that is not here is a defect, never ignored. In `cutover`
 * only the step itself can give up, when it is certain that the source is not sealed; after the seal there is only
 * forward.
 */
export const transitions: Transitions = {
  planned: { preflight_passed: 'provisioning', given_up: 'aborting' },
  provisioning: { provisioned: 'dual_write', given_up: 'aborting' },
  dual_write: { stream_created: 'backfill', schema_changed: 'provisioning', given_up: 'aborting' },
  backfill: {
    copied: 'verify',
    snapshot_lost: 'provisioning',
    schema_changed: 'provisioning',
    given_up: 'aborting',
  },
  verify: { verified: 'ready', schema_changed: 'provisioning', given_up: 'aborting' },
  ready: {
    settled: 'cutover',
    changes_forgotten: 'verify',
    schema_changed: 'provisioning',
    given_up: 'aborting',
  },
  cutover: { switched: 'soak', not_switched: 'ready', given_up: 'aborting' },
  soak: { window_closed: 'finalize', rollback_requested: 'rolling_back' },
  finalize: { purged: 'completed' },
  completed: {},
  aborting: { cleaned_up: 'aborted' },
  aborted: {},
  rolling_back: { returned: 'rolled_back', not_switched: 'soak' },
  rolled_back: {},
}

/**
 * The next phase of a move.
 *
 * @throws Error for an event that the phase cannot take.
 */
export function transition(phase: MovePhase, event: MoveEventKind): MovePhase {
  const next = transitions[phase][event]
  if (next === undefined) throw new Error(`a move in phase ${phase} cannot take the event ${event}`)
  return next
}

/** Whether what a move has copied would be given up with it; before, a new move loses little. */
export function isCopied(phase: MovePhase): boolean {
  return phase === 'verify' || phase === 'ready'
}

/** Whether a failure in this phase may end the move without looking at the source first. */
export function isAbortable(phase: MovePhase): phase is Abortable {
  return phase !== 'cutover' && transitions[phase].given_up !== undefined
}
