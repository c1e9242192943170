import { describeWait, isTerminalPhase, type MoveDetail, type Problem } from '@freehold/contract'
import { Alert, VisuallyHidden } from '@mantine/core'
import { Link } from 'wouter'
import type { Connection } from '../api/follow-move.ts'
import { ProblemError } from '../api/problem-error.ts'
import { useLiveMove } from '../api/use-live-move.ts'
import { Columns } from '../components/columns.tsx'
import { Page } from '../components/page.tsx'
import { Panel } from '../components/panel.tsx'
import { PhaseTag } from '../components/phase-tag.tsx'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { RelativeTime } from '../components/relative-time.tsx'
import { RelocationTag } from '../components/relocation-tag.tsx'
import { RowsSkeleton } from '../components/rows-skeleton.tsx'
import { Surface } from '../components/surface.tsx'
import { CancelButton } from '../move/cancel-button.tsx'
import { ConnectionTag } from '../move/connection-tag.tsx'
import { CopyProgress } from '../move/copy-progress.tsx'
import { Measurements } from '../move/measurements.tsx'
import { OrderButtons } from '../move/order-buttons.tsx'
import { PhaseStepper } from '../move/phase-stepper.tsx'
import { phaseTexts } from '../move/phases.ts'
import { placementText } from '../move/placement-text.ts'
import { Relocation } from '../move/relocation.tsx'
import { Timeline } from '../move/timeline.tsx'
import { Verification } from '../move/verification.tsx'
import { WindowButtons } from '../move/window-buttons.tsx'
import { useMayChange } from '../session/operator-context.ts'
import classes from './move-page.module.css'

const parent = { label: 'Moves', href: '/moves' }

export function MovePage({ id }: { id: string }) {
  const { query, connection, refused } = useLiveMove(id)
  if (query.data !== undefined) {
    return <KnownMove move={query.data} connection={connection} refused={refused} />
  }
  return (
    <Page title="Move" parent={parent}>
      {query.isError ? (
        <ProblemAlert error={query.error} />
      ) : (
        <Surface>
          <RowsSkeleton />
        </Surface>
      )}
    </Page>
  )
}

interface KnownMoveProps {
  readonly move: MoveDetail
  readonly connection: Connection
  readonly refused: Problem | null
}

function KnownMove({ move, connection, refused }: KnownMoveProps) {
  const mayChange = useMayChange()
  const { tenant, from, to, phase, error, events, progress, rollback, waiting } = move
  const waitText =
    waiting === null ? progress.throttled && `Throttled: ${progress.throttled}.` : describeWait(waiting)
  return (
    <Page
      title={`Move of ${tenant.slug}`}
      parent={parent}
      tags={
        <>
          <PhaseTag phase={phase} />
          <RelocationTag from={from} to={to} />
        </>
      }
      subtitle={<Subtitle move={move} />}
      actions={
        <>
          {connection !== 'ended' && <ConnectionTag connection={connection} />}
          {mayChange && <WindowButtons move={move} />}
          {mayChange && !isTerminalPhase(phase) && phase !== 'soak' && <OrderButtons move={move} />}
          {mayChange && !isTerminalPhase(phase) && phase !== 'soak' && <CancelButton move={move} />}
        </>
      }
    >
      <VisuallyHidden role="status">
        Phase {phaseTexts[phase].label}. {phaseTexts[phase].description}
      </VisuallyHidden>
      {error !== null && <ProblemAlert error={new ProblemError(error)} />}
      {rollback?.problem != null && <ProblemAlert error={new ProblemError(rollback.problem)} />}
      {refused !== null && <ProblemAlert error={new ProblemError(refused)} />}
      {waitText !== null && <Alert color="yellow">{waitText}</Alert>}
      <Panel title="Phases" aside={phaseTexts[phase].description}>
        <PhaseStepper phase={phase} events={events} />
      </Panel>
      <Measurements move={move} />
      <Columns>
        <div className={classes.column}>
          <CopyProgress progress={progress} phase={phase} />
          <Verification
            verification={progress.verification}
            seconds={progress.seconds.verify}
            repairedRows={move.repair ? progress.repairedRows : undefined}
          />
        </div>
        <div className={classes.column}>
          <Relocation from={from} to={to} />
          <Timeline events={events} startedAt={move.createdAt} />
        </div>
      </Columns>
    </Page>
  )
}

function Subtitle({ move: { tenant, from, to, createdAt, rollback } }: { move: MoveDetail }) {
  return (
    <>
      <span>
        {placementText(from)} → {placementText(to)}
      </span>
      <span>
        Started <RelativeTime at={createdAt} />
      </span>
      {rollback?.state === 'open' && rollback.closesAt !== null && (
        <span>
          Can be rolled back; the window closes <RelativeTime at={rollback.closesAt} />
        </span>
      )}
      <Link href={`/tenants/${tenant.slug}`}>Show the tenant</Link>
    </>
  )
}
