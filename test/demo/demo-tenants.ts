import type { Tenant } from '@freehold/contract'
import type { Stack } from '@freehold/local/stack'
import type { ControlClient } from '../kit/control-client.ts'
import { type SeedPlan, seedTenant } from '../load/index.ts'

/** A tenant of the demo, and what it was loaded with. */
export interface DemoTenant {
  readonly tenant: Tenant
  readonly seed: SeedPlan
}

/** Enough for the clients of a small tenant to read and change. */
const SMALL_ROWS = 400
const IN_EU = 4
const SEED = 20_261

/** The tenant that moves: `acme`, in the pool of `us`. */
export async function makeMovingTenant(
  stack: Stack,
  control: ControlClient,
  rows: number,
): Promise<DemoTenant> {
  const tenant = await control.createTenant({ slug: 'acme', name: 'Acme Corporation', region: 'us' })
  return load(stack, tenant, { rows, seed: SEED })
}

/** Its neighbours: most in the same pool, some in the one of `eu`, which are pinned there. */
export async function makeNeighbours(
  stack: Stack,
  control: ControlClient,
  count: number,
): Promise<DemoTenant[]> {
  const neighbours: DemoTenant[] = []
  for (let number = 1; number <= count; number++) {
    const place = number <= IN_EU ? { region: 'eu', residency: 'eu' } : { region: 'us' }
    const name = `shop-${String(number).padStart(2, '0')}`
    const tenant = await control.createTenant({ slug: name, name, ...place })
    neighbours.push(await load(stack, tenant, { rows: SMALL_ROWS, seed: SEED + number }))
  }
  return neighbours
}

async function load(stack: Stack, tenant: Tenant, seed: SeedPlan): Promise<DemoTenant> {
  await seedTenant({ database: homeOf(stack, tenant), tenantId: tenant.id, plan: seed })
  return { tenant, seed }
}

/** The database in which a tenant lives, as superuser. */
export function homeOf(stack: Stack, { placement }: Tenant) {
  return stack.superuserAddress(placement.cluster, placement.database)
}
