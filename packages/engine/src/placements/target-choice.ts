import { randomBytes } from 'node:crypto'
import type { Catalog, ClusterRecord } from '@freehold/catalog'
import type { DataDatabaseId, Isolation, MoveTarget, Placement, Tenant } from '@freehold/contract'
import { FreeholdError } from '@freehold/contract'

/** A place that a tenant could be moved to. */
export interface TargetChoice {
  readonly isolation: Isolation
  readonly cluster: ClusterRecord
  readonly database: string
  readonly schema: string
  /** A pool exists and is registered; a silo is not yet. */
  readonly dataDatabaseId?: DataDatabaseId
}

/**
 * The places that a target stands for, the best first.
 *
 * @param clusters those that the target names.
 * @throws FreeholdError `pool_not_found` when there is no pool, or not the one that the target names.
 */
export async function targetChoices(
  catalog: Catalog,
  tenant: Tenant,
  { isolation, database }: MoveTarget,
  clusters: readonly ClusterRecord[],
): Promise<TargetChoice[]> {
  if (isolation === 'silo') {
    return clusters.map((cluster) => ({
      isolation,
      cluster,
      database: newName('silo', tenant),
      schema: 'public',
    }))
  }
  const pools = await catalog.topology.pools(clusters.map(({ id }) => id))
  const named = pools.filter(({ name }) => database === undefined || name === database)
  if (named.length === 0) throw noPool(clusters, database, pools)
  return preferHome(tenant.placement, named).flatMap(({ id, clusterId, name }) => {
    const cluster = clusters.find((each) => each.id === clusterId)
    if (cluster === undefined) return []
    const schema = isolation === 'schema' ? newName('t', tenant) : 'public'
    return [{ isolation, cluster, database: name, schema, dataDatabaseId: id }]
  })
}

/** Whether the tenant lives there already, as it is to live there. */
export function isHome({ isolation, cluster, dataDatabaseId }: Placement, choice: TargetChoice): boolean {
  if (isolation !== choice.isolation) return false
  return isolation === 'silo' ? cluster === choice.cluster.id : dataDatabaseId === choice.dataDatabaseId
}

/** Within its own pool a tenant stays beside what it has been beside so far. */
function preferHome<T extends { readonly id: DataDatabaseId }>(
  { dataDatabaseId }: Placement,
  pools: readonly T[],
): T[] {
  const isOwn = ({ id }: T) => id === dataDatabaseId
  return [...pools.filter(isOwn), ...pools.filter((pool) => !isOwn(pool))]
}

/** Names the tenant for whoever looks at the cluster; the random part makes a second one possible. */
function newName(kind: string, tenant: Tenant): string {
  return `${kind}_${tenant.slug.replaceAll('-', '_')}_${randomBytes(4).toString('hex')}`
}

function noPool(
  clusters: readonly ClusterRecord[],
  database: string | undefined,
  pools: readonly { readonly name: string }[],
): FreeholdError {
  const where = clusters.map(({ id }) => id).join(', ')
  const what = database === undefined ? 'no pool' : `no pool ${database}`
  const there = pools.length === 0 ? '' : ` There: ${pools.map(({ name }) => name).join(', ')}.`
  return new FreeholdError('pool_not_found', `There is ${what} on ${where}.${there}`, {
    details: { clusters: where, ...(database === undefined ? {} : { database }) },
  })
}
