import type { Tenant } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { asSuperuser } from '../../../test/kit/databases.ts'
import type { MovingGround } from '../../../test/kit/moving-ground.ts'
import { seedTenant } from '../../../test/load/index.ts'

/** Every tenant gets the same rows, but for the tenant in them. */
const SEED = 1

/** Makes a tenant in the pool of `us` with this many rows over all tables of the shop. */
export async function seededTenant(ground: MovingGround, slug: string, rows: number): Promise<Tenant> {
  const tenant = await ground.tenant(slug, 0)
  const database = asSuperuser(ground.us.cluster, 'pool')
  await seedTenant({ database, tenantId: tenant.id, plan: { rows, seed: SEED } })
  return tenant
}

/** Leaves nothing for the server to catch up with. */
export async function settlePool({ us }: MovingGround): Promise<void> {
  await withClient(asSuperuser(us.cluster, 'pool'), 'bench', async (client) => {
    await client.query('vacuum (analyze)')
    await client.query('checkpoint')
  })
}
