import type { Move } from '@freehold/contract'
import { IconArrowDown } from '@tabler/icons-react'
import { IsolationTag } from '../components/isolation-tag.tsx'
import { Panel } from '../components/panel.tsx'
import classes from './relocation.module.css'

/** Whence and where to. */
export function Relocation({ from, to }: Pick<Move, 'from' | 'to'>) {
  return (
    <Panel title="From and to">
      <Side name="From" placement={from} />
      <IconArrowDown size={15} aria-hidden className={classes.arrow} />
      <Side name="To" placement={to} />
    </Panel>
  )
}

function Side({ name, placement }: { name: string; placement: Move['to'] }) {
  const { isolation, region, cluster, database, schema, epoch } = placement
  return (
    <section aria-label={name} className={classes.side}>
      <div className={classes.line}>
        <IsolationTag isolation={isolation} />
        <strong>
          {region} <span className="dim">/ {cluster}</span>
        </strong>
      </div>
      <div className={`dim ${classes.detail}`}>
        <span className="mono">
          {database}.{schema}
        </span>{' '}
        · epoch {epoch}
      </div>
    </section>
  )
}
