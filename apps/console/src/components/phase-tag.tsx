import { isTerminalPhase, type MovePhase } from '@freehold/contract'
import { phaseTexts } from '../move/phases.ts'
import { Pulse } from './pulse.tsx'
import { Tag } from './tag.tsx'

export function PhaseTag({ phase }: { phase: MovePhase }) {
  const { label, tone } = phaseTexts[phase]
  return (
    <Tag tone={tone} icon={<Pulse tone={tone} beating={!isTerminalPhase(phase)} />}>
      {label}
    </Tag>
  )
}
