import type { MoveProgress } from '@freehold/contract'
import { IconCircleCheckFilled, IconCircleXFilled } from '@tabler/icons-react'
import { Fact, Facts } from '../components/facts.tsx'
import { Panel } from '../components/panel.tsx'
import { RelativeTime } from '../components/relative-time.tsx'
import { formatSeconds } from '../format/duration.ts'
import { formatCount, formatQuantity } from '../format/number.ts'
import classes from './verification.module.css'

interface VerificationProps {
  readonly verification: MoveProgress['verification']
  readonly seconds: number | null
  /** undefined: the move was not asked to repair any. */
  readonly repairedRows: number | undefined
}

/** Whether both sides were found to be equal. */
export function Verification({ verification, seconds, repairedRows }: VerificationProps) {
  return (
    <Panel title="Verification" aside={seconds === null ? undefined : `Took ${formatSeconds(seconds)}`}>
      {verification === null ? (
        <span className="dim">Not verified yet. Both sides are compared by checksums after the copy.</span>
      ) : (
        <Result verification={verification} repairedRows={repairedRows} />
      )}
    </Panel>
  )
}

interface ResultProps {
  readonly verification: NonNullable<MoveProgress['verification']>
  readonly repairedRows: number | undefined
}

function Result({ verification, repairedRows }: ResultProps) {
  const { tables, rows, mismatches, at, changedSince, references } = verification
  return (
    <div className={classes.result}>
      <p className={classes.verdict} data-equal={mismatches === 0}>
        {mismatches === 0 ? (
          <IconCircleCheckFilled size={18} aria-hidden />
        ) : (
          <IconCircleXFilled size={18} aria-hidden />
        )}
        {mismatches === 0 ? 'Source and target are equal' : 'Source and target differ'}
      </p>
      <Facts>
        <Fact name="Tables">{formatCount(tables)}</Fact>
        <Fact name="Rows">{formatCount(rows)}</Fact>
        {references.tables > 0 && <Fact name="Reference tables">{formatCount(references.tables)}</Fact>}
        <Fact name="Mismatches">{formatCount(mismatches)}</Fact>
        <Fact name="Verified">
          <RelativeTime at={at} />
        </Fact>
        {changedSince !== null && <Fact name="Changed since">{formatQuantity(changedSince, 'row')}</Fact>}
        {repairedRows !== undefined && <Fact name="Repaired">{formatQuantity(repairedRows, 'row')}</Fact>}
      </Facts>
    </div>
  )
}
