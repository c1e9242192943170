import { isTerminalPhase, type Move } from '@freehold/contract'
import { Table } from '@mantine/core'
import { formatMilliseconds, formatSeconds } from '../format/duration.ts'
import { formatCount } from '../format/number.ts'
import { copyPercent } from '../move/copy-percent.ts'
import { phaseTexts } from '../move/phases.ts'
import { placementText } from '../move/placement-text.ts'
import classes from './moves-table.module.css'
import { PhaseTag } from './phase-tag.tsx'
import { ProgressBar } from './progress-bar.tsx'
import { RelativeTime } from './relative-time.tsx'
import { RowLink } from './row-link.tsx'

interface MovesTableProps {
  readonly moves: readonly Move[]
  /** Accessible name of the table. */
  readonly name: string
  readonly ofOneTenant: boolean
}

export function MovesTable({ moves, name, ofOneTenant }: MovesTableProps) {
  return (
    <Table
      aria-label={name}
      highlightOnHover
      horizontalSpacing={ofOneTenant ? '0.75rem' : '1rem'}
      className={ofOneTenant ? (classes.narrow ?? '') : ''}
    >
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Move</Table.Th>
          <Table.Th>Phase</Table.Th>
          <Table.Th visibleFrom="sm" ta="right">
            Rows
          </Table.Th>
          <Table.Th visibleFrom="sm" ta="right">
            Write pause
          </Table.Th>
          <Table.Th visibleFrom="md" ta="right">
            Total
          </Table.Th>
          <Table.Th visibleFrom="md">Started</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {moves.map((move) => (
          <MoveRow key={move.id} move={move} ofOneTenant={ofOneTenant} />
        ))}
      </Table.Tbody>
    </Table>
  )
}

function MoveRow({ move, ofOneTenant }: { move: Move; ofOneTenant: boolean }) {
  const { id, tenant, from, to, progress, createdAt } = move
  const route = `${placementText(from)} → ${placementText(to)}`
  return (
    <Table.Tr>
      <Table.Td>
        <RowLink href={`/moves/${id}`}>
          {ofOneTenant ? <span className={classes.name}>{route}</span> : tenant.slug}
        </RowLink>
        {!ofOneTenant && <div className={`dim ${classes.route}`}>{route}</div>}
      </Table.Td>
      <Table.Td>
        <PhaseCell move={move} />
      </Table.Td>
      <Table.Td visibleFrom="sm" ta="right" className="numeric">
        {formatCount(progress.rowsCopied)}
      </Table.Td>
      <Table.Td visibleFrom="sm" ta="right" className="numeric">
        {progress.writePauseMs === null ? '–' : formatMilliseconds(progress.writePauseMs)}
      </Table.Td>
      <Table.Td visibleFrom="md" ta="right" className="numeric">
        {progress.seconds.total === null ? '–' : formatSeconds(progress.seconds.total)}
      </Table.Td>
      <Table.Td visibleFrom="md" className="dim">
        <RelativeTime at={createdAt} />
      </Table.Td>
    </Table.Tr>
  )
}

function PhaseCell({ move: { phase, tenant, progress } }: { move: Move }) {
  return (
    <>
      <PhaseTag phase={phase} />
      {!isTerminalPhase(phase) && (
        <ProgressBar
          className={classes.progress}
          name={`Progress of ${tenant.slug}`}
          percent={copyPercent(progress)}
          tone={phaseTexts[phase].tone}
        />
      )}
    </>
  )
}
