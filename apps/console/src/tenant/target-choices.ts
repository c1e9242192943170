import {
  type Cluster,
  type ErrorCode,
  errorRegistry,
  type Isolation,
  type Jurisdiction,
  type MoveTarget,
  type Region,
  type Tenant,
  type Topology,
} from '@freehold/contract'
import { formatQuantity } from '../format/number.ts'

export interface TargetChoice {
  /** Unique among the choices, for the radio button. */
  readonly value: string
  readonly label: string
  readonly description: string
  readonly target: MoveTarget
  /** Why the target cannot be chosen, in the words in which the server would refuse it; null: it can. */
  readonly refusal: string | null
}

export interface RegionChoices {
  readonly region: Region
  readonly choices: readonly TargetChoice[]
}

type Mover = Pick<Tenant, 'placement' | 'residency'>

/** Every target of a topology by region; the ones that the tenant may not or need not move to say why. */
export function targetChoices(topology: Topology, tenant: Mover, isolation: Isolation): RegionChoices[] {
  return topology.regions.map((region) => {
    const clusters = topology.clusters.filter((cluster) => cluster.region === region.id)
    return {
      region,
      choices: [
        regionChoice(region, clusters, tenant, isolation),
        ...clusters.flatMap((cluster) => [
          clusterChoice(cluster, tenant, isolation),
          ...poolChoices(cluster, tenant, isolation),
        ]),
      ],
    }
  })
}

function regionChoice(
  region: Region,
  clusters: readonly Cluster[],
  tenant: Mover,
  isolation: Isolation,
): TargetChoice {
  const open = clusters.filter((cluster) => cluster.drainingSince === null)
  return {
    value: `region:${region.id}`,
    label: `Any cluster in ${region.id}`,
    description: 'Freehold picks a cluster with room',
    target: { isolation, region: region.id },
    refusal:
      residencyRefusal(region.jurisdiction, tenant) ??
      (open.length === 0 ? refusalText('target_not_found') : null) ??
      (open.every((cluster) => lacksPool(cluster, isolation)) ? refusalText('pool_not_found') : null),
  }
}

function clusterChoice(cluster: Cluster, tenant: Mover, isolation: Isolation): TargetChoice {
  return {
    value: `cluster:${cluster.id}`,
    label: `Cluster ${cluster.id}`,
    description: `${formatQuantity(cluster.silos, 'silo')}, ${formatQuantity(cluster.pools.length, 'pool')}`,
    target: { isolation, cluster: cluster.id },
    refusal:
      clusterRefusal(cluster, tenant) ??
      (lacksPool(cluster, isolation) ? refusalText('pool_not_found') : null) ??
      (cluster.pools.length > 1 && isolation !== 'silo'
        ? null
        : homeRefusal(cluster, tenant, isolation, cluster.pools[0])),
  }
}

/** Where there are several pools to choose from. */
function poolChoices(cluster: Cluster, tenant: Mover, isolation: Isolation): TargetChoice[] {
  if (isolation === 'silo' || cluster.pools.length < 2) return []
  return cluster.pools.map((database) => ({
    value: `pool:${cluster.id}/${database}`,
    label: `Pool ${database} on ${cluster.id}`,
    description: 'This pool and no other',
    target: { isolation, cluster: cluster.id, database },
    refusal: clusterRefusal(cluster, tenant) ?? homeRefusal(cluster, tenant, isolation, database),
  }))
}

function clusterRefusal(cluster: Cluster, tenant: Mover): string | null {
  return (
    residencyRefusal(cluster.jurisdiction, tenant) ??
    (cluster.drainingSince === null ? null : refusalText('cluster_draining'))
  )
}

function residencyRefusal(jurisdiction: Jurisdiction, { residency }: Mover): string | null {
  if (residency === null || residency === jurisdiction) return null
  return `residency_violation: ${errorRegistry.residency_violation.title} (${residency}).`
}

function homeRefusal(
  cluster: Cluster,
  { placement }: Mover,
  isolation: Isolation,
  database: string | undefined,
): string | null {
  if (placement.isolation !== isolation || placement.cluster !== cluster.id) return null
  return isolation === 'silo' || placement.database === database ? refusalText('target_is_home') : null
}

const lacksPool = (cluster: Cluster, isolation: Isolation) =>
  isolation !== 'silo' && cluster.pools.length === 0

function refusalText(code: ErrorCode): string {
  return `${code}: ${errorRegistry[code].title}.`
}
