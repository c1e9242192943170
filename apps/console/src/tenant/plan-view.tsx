import type { MovePlan } from '@freehold/contract'
import { ScrollArea, Skeleton, Stack, Table } from '@mantine/core'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { RelocationTag } from '../components/relocation-tag.tsx'
import { formatBytes } from '../format/bytes.ts'
import { formatSeconds } from '../format/duration.ts'
import { formatCount, formatQuantity } from '../format/number.ts'
import { placeName } from '../format/place-name.ts'
import { PlanFindings } from './plan-findings.tsx'
import classes from './plan-view.module.css'

interface PlanViewProps {
  readonly plan: MovePlan | undefined
  readonly error: Error | null
  readonly pending: boolean
}

/** What the move would do, or why it would be refused. */
export function PlanView({ plan, error, pending }: PlanViewProps) {
  return (
    <section aria-label="Plan" aria-busy={pending}>
      {pending ? (
        <Stack gap="xs" role="status" aria-label="Checking the target">
          <Skeleton height={18} width="60%" />
          <Skeleton height={18} />
          <Skeleton height={18} />
        </Stack>
      ) : error !== null ? (
        <ProblemAlert error={error} />
      ) : (
        plan !== undefined && <Plan plan={plan} />
      )}
    </section>
  )
}

function Plan({ plan }: { plan: MovePlan }) {
  const { from, to, tables, estimates, findings } = plan
  return (
    <div className={classes.plan}>
      <p className={classes.summary}>
        <RelocationTag from={from} to={to} />{' '}
        <strong>
          {formatQuantity(tables.length, 'table')}
          {estimates !== null &&
            `, about ${formatQuantity(estimates.rows, 'row')}, ${formatBytes(estimates.bytes)}`}
        </strong>{' '}
        from <span className="mono">{placeName(from)}</span> on {from.cluster} to{' '}
        <span className="mono">{placeName(to)}</span> on {to.cluster} in {to.region}. The tenant keeps working
        meanwhile.{' '}
        {plan.rollbackWindowSeconds === 0
          ? 'It cannot be rolled back after the switch.'
          : `After the switch it can be rolled back for ${formatSeconds(plan.rollbackWindowSeconds)}.`}
        {plan.repair && ' Rows that verification finds to differ are rewritten, once.'}
      </p>
      {estimates !== null && (
        <p className={classes.summary}>
          About {formatSeconds(estimates.seconds)}; about {formatBytes(estimates.extraDisk.targetBytes)} of
          disk at the target, and {formatBytes(estimates.extraDisk.sourceBytes)} of log at the source; up to{' '}
          {estimates.connections.source} connections at the source and {estimates.connections.target} at the
          target, with {formatQuantity(estimates.connections.replication, 'replication slot')}.
          {estimates.extraDisk.windowBytes > 0 &&
            ` While it can be rolled back, the target keeps up to ${formatBytes(estimates.extraDisk.windowBytes)} more if the old home is away.`}
        </p>
      )}
      <PlanFindings findings={findings} />
      <ScrollArea.Autosize mah={180} type="auto" scrollbars="y">
        <Table aria-label="Tables to copy" verticalSpacing={4} horizontalSpacing="sm">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Table</Table.Th>
              <Table.Th ta="right">Rows, about</Table.Th>
              <Table.Th ta="right">Size</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {tables.map((table) => (
              <Table.Tr key={table.table}>
                <Table.Td className="mono">{table.table}</Table.Td>
                <Table.Td ta="right" className="numeric">
                  {formatCount(table.rowsEstimated)}
                </Table.Td>
                <Table.Td ta="right" className="numeric">
                  {formatBytes(table.bytesEstimated)}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </ScrollArea.Autosize>
    </div>
  )
}
