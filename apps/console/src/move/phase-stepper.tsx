import type { MoveEvent, MovePhase } from '@freehold/contract'
import { VisuallyHidden } from '@mantine/core'
import { IconCheck, IconX } from '@tabler/icons-react'
import { formatSeconds } from '../format/duration.ts'
import classes from './phase-stepper.module.css'
import { type PhaseStep, phaseSteps, type StepState } from './phase-steps.ts'
import { phaseTexts } from './phases.ts'

const stateTexts: Readonly<Record<StepState, string>> = {
  done: 'done',
  current: 'in progress',
  failed: 'not completed',
  upcoming: 'to come',
}

/** The phases of a move in their order, with the one it is in marked as the current step. */
export function PhaseStepper({ phase, events }: { phase: MovePhase; events: readonly MoveEvent[] }) {
  return (
    <ol aria-label="Phases" className={classes.steps}>
      {phaseSteps(phase, events).map((step) => (
        <Step key={step.phase} step={step} current={step.phase === phase} />
      ))}
    </ol>
  )
}

function Step({ step: { phase, state, seconds }, current }: { step: PhaseStep; current: boolean }) {
  const { label, description } = phaseTexts[phase]
  return (
    <li
      className={classes.step}
      data-phase={phase}
      data-state={state}
      data-current={current}
      aria-current={current ? 'step' : undefined}
      title={description}
    >
      <span className={classes.mark} aria-hidden>
        {state === 'done' && <IconCheck size={13} stroke={3} />}
        {state === 'failed' && <IconX size={13} stroke={3} />}
      </span>
      <span className={classes.label}>{label}</span>
      <VisuallyHidden>{stateTexts[state]}</VisuallyHidden>
      <span className={classes.seconds}>{seconds !== null && formatSeconds(seconds)}</span>
    </li>
  )
}
