import type { ReactNode } from 'react'
import classes from './surface.module.css'

/** A framed part of a page that needs no title of its own. */
export function Surface({ children }: { children: ReactNode }) {
  return <div className={classes.surface}>{children}</div>
}
