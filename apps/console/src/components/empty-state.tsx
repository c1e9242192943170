import type { ReactNode } from 'react'
import classes from './empty-state.module.css'

interface EmptyStateProps {
  readonly icon: ReactNode
  readonly title: string
  readonly children: ReactNode
}

/** Why there is nothing here, and what would put something here. */
export function EmptyState({ icon, title, children }: EmptyStateProps) {
  return (
    <div className={classes.empty}>
      <span aria-hidden className={classes.icon}>
        {icon}
      </span>
      <strong>{title}</strong>
      <p>{children}</p>
    </div>
  )
}
