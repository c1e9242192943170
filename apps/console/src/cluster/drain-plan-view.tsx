import type { DrainPlan } from '@freehold/contract'
import { Table } from '@mantine/core'
import { Link } from 'wouter'
import type { useDrainPlan } from '../api/use-evacuation.ts'
import { Pager } from '../components/pager.tsx'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { ProgressBar } from '../components/progress-bar.tsx'
import { usePages } from '../components/use-pages.ts'
import { formatCount, formatQuantity, percentage } from '../format/number.ts'
import { ProblemCell } from './problem-cell.tsx'

const PAGE_SIZE = 20

interface DrainPlanViewProps {
  readonly cluster: string
  readonly plan: ReturnType<typeof useDrainPlan>
}

/** How far the dry run is, what it has found, and where each tenant would go. */
export function DrainPlanView({ cluster, plan }: DrainPlanViewProps) {
  const { error, left = 0, tenants, complete, checking } = plan
  const inTheWay = tenants.filter(({ problem }) => problem !== null).length
  return (
    <section aria-label="Dry run" aria-busy={checking}>
      <p role="status">
        {complete
          ? `${formatQuantity(tenants.length - inTheWay, 'tenant')} can leave ${cluster}, ${formatCount(inTheWay)} cannot now.`
          : `Checked ${formatCount(tenants.length)} of ${formatCount(left)} tenants.`}
      </p>
      {!complete && (
        <ProgressBar
          name="Tenants checked"
          percent={percentage(tenants.length, left)}
          tone={error === null ? 'running' : 'bad'}
        />
      )}
      {error !== null && <ProblemAlert error={error} />}
      {tenants.length > 0 && <PlannedTenants tenants={tenants} />}
    </section>
  )
}

/** What is in the way first. */
function PlannedTenants({ tenants }: Pick<DrainPlan, 'tenants'>) {
  const pages = usePages('dry run')
  const from = Number(pages.cursor ?? 0)
  const sorted = tenants.toSorted((a, b) => Number(a.problem === null) - Number(b.problem === null))
  const next = from + PAGE_SIZE
  return (
    <>
      <Table aria-label="Tenants that would leave">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Tenant</Table.Th>
            <Table.Th>To</Table.Th>
            <Table.Th>Problem</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {sorted.slice(from, next).map(({ tenant, to, problem }) => (
            <Table.Tr key={tenant.id}>
              <Table.Td>
                <Link href={`/tenants/${tenant.slug}`}>{tenant.slug}</Link>
              </Table.Td>
              <Table.Td>{to ?? '–'}</Table.Td>
              <Table.Td>
                <ProblemCell problem={problem} />
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Pager pages={pages} nextCursor={next < sorted.length ? String(next) : null} name="the dry run" />
    </>
  )
}
