import { type Cluster, errorRegistry, type Topology } from '@freehold/contract'
import { localProblem, ProblemError } from '../api/problem-error.ts'
import { useEvacuation } from '../api/use-evacuation.ts'
import { useLiveTopology } from '../api/use-topology.ts'
import { DrainForm } from '../cluster/drain-form.tsx'
import { EvacuationPanel } from '../cluster/evacuation-panel.tsx'
import { UndrainButton } from '../cluster/undrain-button.tsx'
import { DrainingTag } from '../components/draining-tag.tsx'
import { Page } from '../components/page.tsx'
import { Panel } from '../components/panel.tsx'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { RelativeTime } from '../components/relative-time.tsx'
import { RowsSkeleton } from '../components/rows-skeleton.tsx'
import { Surface } from '../components/surface.tsx'
import { useMayChange } from '../session/operator-context.ts'

const parent = { label: 'Clusters', href: '/clusters' }

export function ClusterPage({ id }: { id: string }) {
  const topology = useLiveTopology()
  const cluster = topology.data?.clusters.find((each) => each.id === id)
  if (topology.data !== undefined && cluster !== undefined) {
    return <KnownCluster cluster={cluster} topology={topology.data} />
  }
  return (
    <Page title={id} parent={parent}>
      {topology.isPending ? (
        <Surface>
          <RowsSkeleton />
        </Surface>
      ) : (
        <ProblemAlert error={topology.error ?? new ProblemError(unknownCluster(id))} />
      )}
    </Page>
  )
}

const unknownCluster = (id: string) =>
  localProblem('cluster_not_found', `${errorRegistry.cluster_not_found.title}: ${id}.`)

function KnownCluster({ cluster, topology }: { cluster: Cluster; topology: Topology }) {
  const mayChange = useMayChange()
  const evacuation = useEvacuation(cluster.id)
  const { region, jurisdiction, drainingSince } = cluster
  return (
    <Page
      title={cluster.id}
      parent={parent}
      tags={<DrainingTag since={drainingSince} />}
      subtitle={
        <>
          <span>
            {region} · jurisdiction {jurisdiction}
          </span>
          {drainingSince !== null && (
            <span>
              Draining since <RelativeTime at={drainingSince} />: no tenant and no move is placed on it
            </span>
          )}
        </>
      }
      actions={mayChange && drainingSince !== null && <UndrainButton cluster={cluster.id} />}
    >
      {evacuation.isError && <ProblemAlert error={evacuation.error} />}
      {evacuation.data != null && <EvacuationPanel evacuation={evacuation.data} />}
      {mayChange && (
        <Panel title={drainingSince === null ? 'Empty this cluster' : 'Drain again'}>
          <DrainForm cluster={cluster} topology={topology} />
        </Panel>
      )}
    </Page>
  )
}
