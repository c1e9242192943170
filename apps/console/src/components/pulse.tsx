import type { Tone } from '../move/phases.ts'
import classes from './pulse.module.css'

/** A dot beside a word; it beats while something goes on. */
export function Pulse({ tone, beating = false }: { tone: Tone; beating?: boolean }) {
  return <span aria-hidden className={classes.dot} data-tone={tone} data-beating={beating} />
}
