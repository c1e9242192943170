import { type ReactNode, useId } from 'react'
import classes from './panel.module.css'

interface PanelProps {
  readonly title: string
  /** Beside the title, at the right. */
  readonly aside?: ReactNode
  /** Lets the content, a table for example, reach the panel's edges. */
  readonly flush?: boolean
  readonly children: ReactNode
}

/** A titled part of a page; a landmark named by its title. */
export function Panel({ title, aside, flush = false, children }: PanelProps) {
  const id = useId()
  return (
    <section aria-labelledby={id} className={classes.panel}>
      <header className={classes.header}>
        <h2 id={id}>{title}</h2>
        {aside !== undefined && <div className={classes.aside}>{aside}</div>}
      </header>
      <div className={flush ? classes.flush : classes.body}>{children}</div>
    </section>
  )
}
