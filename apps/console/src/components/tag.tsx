import type { ReactNode } from 'react'
import type { Tone } from '../move/phases.ts'
import classes from './tag.module.css'

interface TagProps {
  readonly tone?: Tone
  readonly icon?: ReactNode
  readonly children: ReactNode
}

/** A short word about a thing's kind or state. */
export function Tag({ tone = 'neutral', icon, children }: TagProps) {
  return (
    <span className={classes.tag} data-tone={tone}>
      {icon}
      {children}
    </span>
  )
}
