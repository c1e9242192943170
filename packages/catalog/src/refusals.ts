import { type ClusterId, FreeholdError } from '@freehold/contract'
import { violatedConstraint } from '@freehold/postgres'

/** What a violated constraint means to the caller of a statement, by the constraint's name. */
export type Refusals = Readonly<Record<string, () => FreeholdError | Promise<FreeholdError>>>

/**
 * Runs `work` and turns the violation of a named constraint into the error that it stands for. The constraint
 * decides, not a check made before, so the answer is right under concurrency as well.
 */
export async function withRefusals<T>(refusals: Refusals, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const refusal = refusals[violatedConstraint(error) ?? '']
    if (refusal === undefined) throw error
    throw Object.assign(await refusal(), { cause: error })
  }
}

/** The one wording of a residency violation, for the catalog's constraints and for the planner alike. */
export function residencyViolation(violation: {
  readonly tenant: string
  readonly residency: string
  readonly jurisdiction: string
}): FreeholdError {
  const { tenant, residency, jurisdiction } = violation
  return new FreeholdError(
    'residency_violation',
    `Tenant ${tenant} is pinned to ${residency}; the target lies in ${jurisdiction}.`,
    { details: { tenant, residency, jurisdiction } },
  )
}

/** The one answer to whoever would place something new on a cluster that is being emptied. */
export function clusterDraining(cluster: ClusterId): FreeholdError {
  return new FreeholdError('cluster_draining', `Cluster ${cluster} is being emptied.`, {
    details: { cluster },
  })
}
