import type { Tenant } from '@freehold/contract'
import { Link } from 'wouter'
import { useMoves } from '../api/use-moves.ts'
import { PhaseTag } from '../components/phase-tag.tsx'
import { ProgressBar } from '../components/progress-bar.tsx'
import { formatCount } from '../format/number.ts'
import { copyPercent } from '../move/copy-percent.ts'
import { phaseTexts } from '../move/phases.ts'
import { placementText } from '../move/placement-text.ts'
import classes from './active-move.module.css'

/** The tenant's running move in one line, leading to its page. */
export function ActiveMove({ id, tenant }: { id: string; tenant: Tenant }) {
  const { data } = useMoves({ tenant: tenant.id })
  const move = data?.items.find((item) => item.id === id)
  return (
    <section aria-label="Running move" className={classes.banner}>
      <div className={classes.line}>
        {move === undefined ? (
          <span>Moving</span>
        ) : (
          <>
            <PhaseTag phase={move.phase} />
            <span>
              {placementText(move.from)} → {placementText(move.to)}
            </span>
            <span className="dim numeric">
              {formatCount(move.progress.rowsCopied)} of about {formatCount(move.progress.rowsEstimated)} rows
            </span>
          </>
        )}
        <Link href={`/moves/${id}`} className={classes.link}>
          Watch the move
        </Link>
      </div>
      {move !== undefined && (
        <ProgressBar
          name="Progress of the running move"
          percent={copyPercent(move.progress)}
          tone={phaseTexts[move.phase].tone}
        />
      )}
    </section>
  )
}
