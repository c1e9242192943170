import type { PlacementRecord } from '@freehold/contract'
import { IsolationTag } from '../components/isolation-tag.tsx'
import { RelativeTime } from '../components/relative-time.tsx'
import { Tag } from '../components/tag.tsx'
import { placeName } from '../format/place-name.ts'
import classes from './placement-history.module.css'

/** Where the tenant has lived, newest first. */
export function PlacementHistory({ placements }: { placements: readonly PlacementRecord[] }) {
  return (
    <ol aria-label="Placement history" className={classes.history}>
      {placements.map((placement) => (
        <li key={placement.epoch} className={classes.record} data-current={placement.current}>
          <div className={classes.line}>
            <IsolationTag isolation={placement.isolation} />
            <strong>
              {placement.region} <span className="dim">/ {placement.cluster}</span>
            </strong>
            {placement.current && <Tag tone="good">Current</Tag>}
          </div>
          <div className={`dim ${classes.detail}`}>
            <span className="mono">{placeName(placement)}</span> · epoch {placement.epoch}
          </div>
          <div className={`dim ${classes.detail}`}>
            <RelativeTime at={placement.since} />
            {placement.until !== null && (
              <>
                {' to '}
                <RelativeTime at={placement.until} />
              </>
            )}
          </div>
        </li>
      ))}
    </ol>
  )
}
