import type { Cluster } from '@freehold/contract'
import { Table } from '@mantine/core'
import { useLiveTopology } from '../api/use-topology.ts'
import { DrainingTag } from '../components/draining-tag.tsx'
import { Page } from '../components/page.tsx'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { RowLink } from '../components/row-link.tsx'
import { RowsSkeleton } from '../components/rows-skeleton.tsx'
import { Surface } from '../components/surface.tsx'
import { formatCount } from '../format/number.ts'

export function ClustersPage() {
  const topology = useLiveTopology()
  return (
    <Page title="Clusters">
      {topology.isError && <ProblemAlert error={topology.error} />}
      {!topology.isError && (
        <Surface>
          {topology.data === undefined ? (
            <RowsSkeleton rows={3} />
          ) : (
            <ClustersTable clusters={topology.data.clusters} />
          )}
        </Surface>
      )}
    </Page>
  )
}

function ClustersTable({ clusters }: { clusters: readonly Cluster[] }) {
  return (
    <Table aria-label="Clusters" highlightOnHover>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Cluster</Table.Th>
          <Table.Th>Region</Table.Th>
          <Table.Th visibleFrom="md">Pools</Table.Th>
          <Table.Th visibleFrom="md" ta="right">
            Silos
          </Table.Th>
          <Table.Th ta="right">Moves</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {clusters.map(
          ({ id, region, jurisdiction, pools, silos, movesUnderWay, maxMoves, drainingSince }) => (
            <Table.Tr key={id}>
              <Table.Td>
                <RowLink href={`/clusters/${id}`}>{id}</RowLink> <DrainingTag since={drainingSince} />
              </Table.Td>
              <Table.Td>
                {region} <span className="dim">· jurisdiction {jurisdiction}</span>
              </Table.Td>
              <Table.Td visibleFrom="md" className="mono">
                {pools.join(', ')}
              </Table.Td>
              <Table.Td visibleFrom="md" ta="right" className="numeric">
                {formatCount(silos)}
              </Table.Td>
              <Table.Td ta="right" className="numeric">
                {formatCount(movesUnderWay)} of {formatCount(maxMoves)}
              </Table.Td>
            </Table.Tr>
          ),
        )}
      </Table.Tbody>
    </Table>
  )
}
