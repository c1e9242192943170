import { isTerminalPhase, type MoveEvent, type MovePhase, straightMovePhases } from '@freehold/contract'

export type StepState = 'done' | 'current' | 'failed' | 'upcoming'

export interface PhaseStep {
  readonly phase: MovePhase
  readonly state: StepState
  /** How long the phase took, once it is over and the timeline tells. */
  readonly seconds: number | null
}

const aborting: readonly MovePhase[] = ['aborting', 'aborted']
const rollingBack: readonly MovePhase[] = ['rolling_back', 'rolled_back']
const forward: readonly MovePhase[] = straightMovePhases

/**
 * The phases of a move as steps: all that an undisturbed move passes, or, when it was aborted or rolled back, those
 * that it reached and the undoing; of an aborted move the last one reached did not succeed.
 *
 * @param events the timeline in its order.
 */
export function phaseSteps(phase: MovePhase, events: readonly MoveEvent[]): PhaseStep[] {
  const undoing = [aborting, rollingBack].find((phases) => phases.includes(phase))
  const phases = undoing === undefined ? forward : [...reached(events), ...undoing]
  const current = phases.indexOf(phase)
  const failed = phases.indexOf('aborting') - 1
  return phases.map((step, index) => ({
    phase: step,
    state: index === failed ? 'failed' : stateAt(index, current, phase),
    seconds: index < current ? secondsIn(step, events) : null,
  }))
}

function reached(events: readonly MoveEvent[]): readonly MovePhase[] {
  const last = Math.max(0, ...events.map((event) => forward.indexOf(event.phase)))
  return forward.slice(0, last + 1)
}

function stateAt(index: number, current: number, phase: MovePhase): StepState {
  if (index < current) return 'done'
  if (index > current) return 'upcoming'
  if (!isTerminalPhase(phase)) return 'current'
  return phase === 'completed' ? 'done' : 'failed'
}

function secondsIn(phase: MovePhase, events: readonly MoveEvent[]): number | null {
  const from = events.findIndex((event) => event.phase === phase)
  const until = events.findIndex((event, index) => index > from && event.phase !== phase)
  const start = events[from]
  const end = events[until]
  if (start === undefined || end === undefined) return null
  return (Date.parse(end.at) - Date.parse(start.at)) / 1000
}
