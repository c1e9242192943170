import type { MoveEvent } from '@freehold/contract'
import { Tooltip } from '@mantine/core'
import { Panel } from '../components/panel.tsx'
import { Pulse } from '../components/pulse.tsx'
import { formatSeconds } from '../format/duration.ts'
import { formatClock, formatExact } from '../format/time.ts'
import { phaseTexts } from './phases.ts'
import classes from './timeline.module.css'

interface TimelineProps {
  readonly events: readonly MoveEvent[]
  readonly startedAt: string
}

/** What happened, newest first, with the time since the start of the move. */
export function Timeline({ events, startedAt }: TimelineProps) {
  return (
    <Panel title="Timeline" flush>
      {events.length === 0 ? (
        <p className={`dim ${classes.empty}`}>Nothing has happened yet.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        <ol aria-label="Timeline" tabIndex={0} className={classes.events}>
          {events.toReversed().map((event) => (
            <Entry key={event.sequence} event={event} startedAt={startedAt} />
          ))}
        </ol>
      )}
    </Panel>
  )
}

function Entry({ event: { at, phase, message }, startedAt }: { event: MoveEvent; startedAt: string }) {
  const since = Math.max(0, (Date.parse(at) - Date.parse(startedAt)) / 1000)
  return (
    <li className={classes.event}>
      <Pulse tone={phaseTexts[phase].tone} />
      <div className={classes.text}>
        <span className={classes.message}>{message}</span>
        <span className={classes.phase}>
          {phaseTexts[phase].label} · {formatClock(at)}
        </span>
      </div>
      <Tooltip label={formatExact(at)}>
        <time dateTime={at} className={classes.time}>
          +{formatSeconds(since)}
        </time>
      </Tooltip>
    </li>
  )
}
