import type { ReactNode } from 'react'
import classes from './columns.module.css'

/** Two parts of a page beside each other, the first the wider; below each other where there is no room. */
export function Columns({ children }: { children: ReactNode }) {
  return <div className={classes.columns}>{children}</div>
}
