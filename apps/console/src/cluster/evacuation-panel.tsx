import type { Evacuation, EvacuationTenant } from '@freehold/contract'
import { Table } from '@mantine/core'
import { Link } from 'wouter'
import { Panel } from '../components/panel.tsx'
import { ProgressBar } from '../components/progress-bar.tsx'
import { RelativeTime } from '../components/relative-time.tsx'
import { Tag } from '../components/tag.tsx'
import { Tile, Tiles } from '../components/tiles.tsx'
import { formatSeconds } from '../format/duration.ts'
import { formatCount, formatQuantity, percentage } from '../format/number.ts'
import type { Tone } from '../move/phases.ts'
import { ProblemCell } from './problem-cell.tsx'

/** How far a cluster is emptied, or how that ended. */
export function EvacuationPanel({ evacuation }: { evacuation: Evacuation }) {
  const { moved, moving, waiting, refused, left, tenants } = evacuation
  const known = moved + moving + waiting + refused
  return (
    <Panel title="Evacuation" aside={<Heading evacuation={evacuation} />} flush>
      <ProgressBar
        name="Tenants moved"
        percent={known === 0 ? 100 : percentage(moved, known)}
        tone={evacuation.finishedAt === null ? 'running' : left === 0 ? 'good' : 'caution'}
      />
      <Tiles name="Progress of the evacuation">
        <Tile name="Moved" note={`of ${formatQuantity(known, 'tenant')}`}>
          {formatCount(moved)}
        </Tile>
        <Tile name="Moving" note={`at most ${formatCount(evacuation.maxConcurrent)} at a time`}>
          {formatCount(moving)}
        </Tile>
        <Tile name="Waiting" note="for their turn, or to be tried again">
          {formatCount(waiting)}
        </Tile>
        <Tile name="Refused" note="not tried again by itself">
          {formatCount(refused)}
        </Tile>
        <Tile name="Rate" note="tenants an hour, since it began">
          {evacuation.tenantsPerHour === null ? '–' : formatCount(evacuation.tenantsPerHour)}
        </Tile>
        <Tile name="Time left" note={`${formatQuantity(left, 'tenant')} on the cluster now`}>
          {evacuation.etaSeconds === null ? '–' : formatSeconds(evacuation.etaSeconds)}
        </Tile>
      </Tiles>
      {tenants.length > 0 && <Tenants tenants={tenants} known={known} />}
    </Panel>
  )
}

function Heading({
  evacuation: { target, createdBy, createdAt, finishedAt, left },
}: {
  evacuation: Evacuation
}) {
  const to = 'region' in target ? `region ${target.region}` : `cluster ${target.cluster}`
  if (finishedAt === null) {
    return (
      <>
        To {to}, started <RelativeTime at={createdAt} /> by {createdBy}
      </>
    )
  }
  return (
    <>
      {left === 0 ? 'Finished' : 'Ended'} <RelativeTime at={finishedAt} />, to {to}
    </>
  )
}

const states: Readonly<Record<EvacuationTenant['state'], { readonly label: string; readonly tone: Tone }>> = {
  waiting: { label: 'Waiting', tone: 'neutral' },
  planning: { label: 'Planning', tone: 'running' },
  moving: { label: 'Moving', tone: 'running' },
  moved: { label: 'Moved', tone: 'good' },
  refused: { label: 'Refused', tone: 'bad' },
}

function Tenants({ tenants, known }: { tenants: readonly EvacuationTenant[]; known: number }) {
  return (
    <>
      <Table aria-label="Tenants of the evacuation">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Tenant</Table.Th>
            <Table.Th>State</Table.Th>
            <Table.Th>Move</Table.Th>
            <Table.Th>Problem</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {tenants.map((each) => (
            <TenantRow key={each.tenant.id} {...each} />
          ))}
        </Table.Tbody>
      </Table>
      {tenants.length < known && (
        <p className="dim">{formatQuantity(known - tenants.length, 'further tenant')} without a problem.</p>
      )}
    </>
  )
}

function TenantRow({ tenant, state, attempts, nextAttemptAt, move, problem }: EvacuationTenant) {
  const { label, tone } = states[state]
  return (
    <Table.Tr>
      <Table.Td>
        <Link href={`/tenants/${tenant.slug}`}>{tenant.slug}</Link>
      </Table.Td>
      <Table.Td>
        <Tag tone={tone}>{label}</Tag>
        {attempts > 1 && <div className="dim">{formatQuantity(attempts, 'attempt')}</div>}
        {nextAttemptAt !== null && (
          <div className="dim">
            Again <RelativeTime at={nextAttemptAt} />
          </div>
        )}
      </Table.Td>
      <Table.Td>
        {move === null ? (
          <span className="dim">–</span>
        ) : (
          <Link href={`/moves/${move}`}>Move of {tenant.slug}</Link>
        )}
      </Table.Td>
      <Table.Td>
        <ProblemCell problem={problem} />
      </Table.Td>
    </Table.Tr>
  )
}
