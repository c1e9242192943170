import { type MovePhase, straightMovePhases } from '@freehold/contract'

export type Tone = 'neutral' | 'running' | 'good' | 'caution' | 'bad'

interface PhaseText {
  readonly label: string
  /** What happens in the phase, for somebody who watches a move for the first time. */
  readonly description: string
  readonly tone: Tone
}

export const phaseTexts: Readonly<Record<MovePhase, PhaseText>> = {
  planned: { label: 'Planned', description: 'Waiting for a worker.', tone: 'neutral' },
  provisioning: {
    label: 'Provisioning',
    description: 'The target database is created and migrated.',
    tone: 'running',
  },
  dual_write: {
    label: 'Dual write',
    description: 'From here on every committed write is carried to the target as well.',
    tone: 'running',
  },
  backfill: {
    label: 'Backfill',
    description: 'The rows that already existed are copied while the tenant keeps working.',
    tone: 'running',
  },
  verify: {
    label: 'Verify',
    description: 'Both sides are compared by checksums inside the databases.',
    tone: 'running',
  },
  ready: {
    label: 'Ready',
    description: 'Both sides are equal; the switch comes when the lag is small.',
    tone: 'running',
  },
  cutover: {
    label: 'Cutover',
    description: 'Writes are held for a moment while the home changes.',
    tone: 'running',
  },
  soak: {
    label: 'Soak',
    description:
      'The tenant lives at the target; every write is carried back, so that the move can be rolled back.',
    tone: 'running',
  },
  finalize: {
    label: 'Finalize',
    description: 'The tenant lives at the target; its rows at the source are purged.',
    tone: 'running',
  },
  completed: { label: 'Completed', description: 'The tenant lives at the target.', tone: 'good' },
  aborting: {
    label: 'Aborting',
    description: 'What was made for the move is taken away again.',
    tone: 'caution',
  },
  aborted: { label: 'Aborted', description: 'The tenant stays where it was.', tone: 'bad' },
  rolling_back: {
    label: 'Rolling back',
    description: 'The tenant goes back to its old home with all that was written since.',
    tone: 'caution',
  },
  rolled_back: {
    label: 'Rolled back',
    description: 'The tenant lives at its old home again.',
    tone: 'bad',
  },
}

const cancellablePhases: ReadonlySet<MovePhase> = new Set(
  straightMovePhases.slice(0, straightMovePhases.indexOf('cutover')),
)

/** Whether a move is before its point of no return and not being undone already. */
export function isCancellable(phase: MovePhase): boolean {
  return cancellablePhases.has(phase)
}

/** Phases in which a move can be paused; before the switch those in which it can be cancelled. */
export function isPausable(phase: MovePhase): boolean {
  return isCancellable(phase) || phase === 'finalize'
}
