import type { TenantId } from '@freehold/contract'

/** Ids are unique over all tenants: some systems need that, and it tells whose a row is. */
const IDS_PER_TENANT = 1_000_000

/** The tenants, and how many rows each has in every table. */
export interface Rows {
  readonly tenants: readonly TenantId[]
  readonly rowsPerTenant: number
}

export interface PickedRow {
  readonly tenantId: string
  readonly id: number
}

/** Ids from here on are of rows that a benchmark inserts. */
export const FIRST_NEW_ID = 1_000_000_000

export function firstId(tenantIndex: number): number {
  return (tenantIndex + 1) * IDS_PER_TENANT
}

/** A row of any tenant; at least `following` rows of the same tenant come after it. */
export function pickRow({ tenants, rowsPerTenant }: Rows, following = 0): PickedRow {
  const index = Math.floor(Math.random() * tenants.length)
  const tenantId = tenants[index] ?? ''
  return { tenantId, id: firstId(index) + Math.floor(Math.random() * (rowsPerTenant - following)) }
}

/** By its name a row is known to be the one that was asked for. */
export function itemName(id: number): string {
  return `item ${id}`
}
