import type { Connection } from '../api/follow-move.ts'
import { Pulse } from '../components/pulse.tsx'
import { Tag } from '../components/tag.tsx'
import type { Tone } from './phases.ts'

const texts: Readonly<
  Record<Exclude<Connection, 'ended'>, { label: string; tone: Tone; beating?: boolean }>
> = {
  connecting: { label: 'Connecting', tone: 'neutral', beating: true },
  live: { label: 'Live', tone: 'good', beating: true },
  reconnecting: { label: 'Reconnecting', tone: 'caution', beating: true },
  refused: { label: 'Not live', tone: 'bad' },
}

/** Whether what is shown is what is. */
export function ConnectionTag({ connection }: { connection: Exclude<Connection, 'ended'> }) {
  const { label, tone, beating = false } = texts[connection]
  return (
    <Tag tone={tone} icon={<Pulse tone={tone} beating={beating} />}>
      {label}
    </Tag>
  )
}
