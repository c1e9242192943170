import type { MovePhase, MoveProgress, TableProgress } from '@freehold/contract'
import { Table } from '@mantine/core'
import { Panel } from '../components/panel.tsx'
import { ProgressBar } from '../components/progress-bar.tsx'
import { formatBytes } from '../format/bytes.ts'
import { formatSeconds } from '../format/duration.ts'
import { formatCount, percentage } from '../format/number.ts'
import { copyPercent } from './copy-percent.ts'
import classes from './copy-progress.module.css'
import { phaseTexts, type Tone } from './phases.ts'

/** How far the copy is, on the whole and for each table. */
export function CopyProgress({ progress, phase }: { progress: MoveProgress; phase: MovePhase }) {
  const { tables, rowsCopied, rowsEstimated, seconds } = progress
  const done = seconds.backfill !== null
  const percent = copyPercent(progress)
  const tone = done ? 'good' : phaseTexts[phase].tone
  return (
    <Panel title="Copy" aside={<span className="numeric">{pace(progress)}</span>} flush>
      <div className={classes.whole}>
        <ProgressBar name="Rows copied" percent={percent} tone={tone} />
        <span className="numeric">
          <strong>{percent} %</strong>{' '}
          <span className="dim">
            {formatCount(rowsCopied)} {done ? 'rows' : `of about ${formatCount(rowsEstimated)} rows`}
          </span>
        </span>
      </div>
      {tables.length > 0 && <Tables tables={tables} tone={tone} done={done} />}
    </Panel>
  )
}

/** Rate and time left while the copy runs; how long it took afterwards. */
function pace({ rowsPerSecond, etaSeconds, seconds }: MoveProgress): string {
  if (seconds.backfill !== null) return `Took ${formatSeconds(seconds.backfill)}`
  const parts = [
    rowsPerSecond === null ? null : `${formatCount(rowsPerSecond)} rows/s`,
    etaSeconds === null ? null : `${formatSeconds(etaSeconds)} left`,
  ]
  return parts.filter((part) => part !== null).join(' · ')
}

interface TablesProps {
  readonly tables: readonly TableProgress[]
  readonly tone: Tone
  readonly done: boolean
}

function Tables({ tables, tone, done }: TablesProps) {
  return (
    <Table aria-label="Tables" verticalSpacing={6}>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Table</Table.Th>
          <Table.Th className={classes.bar}>Progress</Table.Th>
          <Table.Th ta="right">Rows</Table.Th>
          <Table.Th ta="right" visibleFrom="xs">
            Size
          </Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {tables.map(({ table, rowsCopied, rowsEstimated, bytesCopied }) => (
          <Table.Tr key={table}>
            <Table.Td className="mono">{table}</Table.Td>
            <Table.Td className={classes.bar}>
              <ProgressBar
                name={`Progress of ${table}`}
                percent={done ? 100 : percentage(rowsCopied, rowsEstimated)}
                tone={rowsCopied >= rowsEstimated ? 'good' : tone}
              />
            </Table.Td>
            <Table.Td ta="right" className={`numeric ${classes.count}`}>
              {formatCount(rowsCopied)}
              {!done && <span className="dim"> / {formatCount(rowsEstimated)}</span>}
            </Table.Td>
            <Table.Td ta="right" visibleFrom="xs" className={`numeric ${classes.count}`}>
              {formatBytes(bytesCopied)}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  )
}
