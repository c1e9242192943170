import type { ReactNode } from 'react'
import classes from './tiles.module.css'

/** Numbers by which something is judged, beside each other. */
export function Tiles({ name, children }: { name: string; children: ReactNode }) {
  return (
    <dl aria-label={name} className={classes.tiles}>
      {children}
    </dl>
  )
}

interface TileProps {
  readonly name: string
  readonly note: string
  readonly highlight?: boolean
  readonly children: ReactNode
}

export function Tile({ name, note, highlight = false, children }: TileProps) {
  return (
    <div className={classes.tile} data-highlight={highlight}>
      <dt>{name}</dt>
      <dd className={classes.value}>{children}</dd>
      <dd className={classes.note}>{note}</dd>
    </div>
  )
}
