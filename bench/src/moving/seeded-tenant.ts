import { randomUUID } from 'node:crypto'
import type { Tenant } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { asSuperuser } from '../../../test/kit/databases.ts'
import type { MovingGround } from '../../../test/kit/moving-ground.ts'
import { seedTenant } from '../../../test/load/index.ts'

/** Every tenant gets the same rows, but for the tenant in them. */
const SEED = 1

/** Fills the pool of `eu` with rows of somebody of whom the catalog knows nothing. */
export async function fillTargetPool({ eu }: MovingGround, rows: number): Promise<void> {
  const database = asSuperuser(eu.cluster, 'pool')
  await seedTenant({ database, tenantId: randomUUID(), plan: { rows, seed: SEED } })
}

/** Makes a tenant in the pool of `us` with this many rows over all tables of the shop. */
export async function seededTenant(ground: MovingGround, slug: string, rows: number): Promise<Tenant> {
  const tenant = await ground.tenant(slug, 0)
  const database = asSuperuser(ground.us.cluster, 'pool')
  await seedTenant({ database, tenantId: tenant.id, plan: { rows, seed: SEED } })
  return tenant
}

/** Leaves nothing for the servers to catch up with in their pools. */
export async function settlePools({ us, eu }: MovingGround): Promise<void> {
  for (const { cluster } of [us, eu]) {
    await withClient(asSuperuser(cluster, 'pool'), 'bench', async (client) => {
      await client.query('vacuum (analyze)')
      await client.query('checkpoint')
    })
  }
}
