import type { ReactNode } from 'react'
import { Link } from 'wouter'
import classes from './row-link.module.css'

/** A link whose target area is the whole row of its table. */
export function RowLink({ href, children }: { href: string; children: ReactNode }) {
  return (
    <Link href={href} className={classes.link}>
      {children}
    </Link>
  )
}

/** A second link in such a row, above the first one's area. */
export function InnerLink({ href, children }: { href: string; children: ReactNode }) {
  return (
    <Link href={href} className={classes.inner}>
      {children}
    </Link>
  )
}
