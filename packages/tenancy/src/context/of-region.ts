import { FreeholdError } from '@freehold/contract'
import type { Tenant } from '../placement/placement.ts'

/**
 * What is kept for the tenant's region. There is no fallback: what belongs to a tenant stays in its jurisdiction, so
 * where nothing is set up for its region nothing is kept.
 *
 * @throws FreeholdError `region_not_served`
 */
export function ofRegion<T>(regions: Readonly<Record<string, T>>, { id, region }: Tenant, what: string): T {
  const found = Object.hasOwn(regions, region) ? regions[region] : undefined
  if (found !== undefined) return found
  throw new FreeholdError('region_not_served', `There is no ${what} for the region ${region}.`, {
    details: { tenant: id, region },
  })
}
