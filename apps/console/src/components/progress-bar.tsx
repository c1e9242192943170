import type { Tone } from '../move/phases.ts'
import classes from './progress-bar.module.css'

interface ProgressBarProps {
  readonly name: string
  /** Whole, 0 to 100. */
  readonly percent: number
  readonly tone: Tone
  readonly className?: string | undefined
}

export function ProgressBar({ name, percent, tone, className = '' }: ProgressBarProps) {
  return (
    <div
      role="progressbar"
      aria-label={name}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      className={`${classes.track} ${className}`}
    >
      <div className={classes.bar} data-tone={tone} style={{ width: `${percent}%` }} />
    </div>
  )
}
