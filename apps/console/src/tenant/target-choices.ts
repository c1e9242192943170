import {
  type Cluster,
  errorRegistry,
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
export function targetChoices(topology: Topology, tenant: Mover): RegionChoices[] {
  return topology.regions.map((region) => {
    const clusters = topology.clusters.filter((cluster) => cluster.region === region.id)
    return {
      region,
      choices: [
        regionChoice(region, clusters, tenant),
        ...clusters.map((cluster) => clusterChoice(cluster, tenant)),
      ],
    }
  })
}

function regionChoice(region: Region, clusters: readonly Cluster[], tenant: Mover): TargetChoice {
  return {
    value: `region:${region.id}`,
    label: `Any cluster in ${region.id}`,
    description: 'Freehold picks a cluster with room',
    target: { isolation: 'silo', region: region.id },
    refusal:
      residencyRefusal(region.jurisdiction, tenant) ??
      (clusters.length === 0 ? `target_not_found: ${errorRegistry.target_not_found.title}.` : null),
  }
}

function clusterChoice(cluster: Cluster, tenant: Mover): TargetChoice {
  return {
    value: `cluster:${cluster.id}`,
    label: `Cluster ${cluster.id}`,
    description: `${formatQuantity(cluster.silos, 'silo')}, ${formatQuantity(cluster.pools, 'pool')}`,
    target: { isolation: 'silo', cluster: cluster.id },
    refusal: residencyRefusal(cluster.jurisdiction, tenant) ?? homeRefusal(cluster, tenant),
  }
}

function residencyRefusal(jurisdiction: Jurisdiction, { residency }: Mover): string | null {
  if (residency === null || residency === jurisdiction) return null
  return `residency_violation: ${errorRegistry.residency_violation.title} (${residency}).`
}

function homeRefusal(cluster: Cluster, { placement }: Mover): string | null {
  if (placement.isolation !== 'silo' || placement.cluster !== cluster.id) return null
  return `target_is_home: ${errorRegistry.target_is_home.title}.`
}
