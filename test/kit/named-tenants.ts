import {
  type Catalog,
  createRouteSource,
  createTenantDirectory,
  type TenantDirectory,
} from '@freehold/catalog'
import { createTenantSchema, type Tenant } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { createRouter, type FreeholdDatabase, type Router } from '@freehold/tenancy'
import { openTestCatalog, registerTestCluster, startPreparedCluster } from './control-plane.ts'
import { asSuperuser } from './databases.ts'
import { createItemsDatabase, setResident, testEntrySecret } from './tenants.ts'

/** A catalog, a pool with the table `items`, and a router and a directory over them: all that a product has. */
export interface NamedTenants {
  readonly catalog: Catalog
  readonly router: Router<FreeholdDatabase>
  readonly directory: TenantDirectory
  /** A tenant that lives in the pool and has one item, called as its slug. */
  tenant(slug: string): Promise<Tenant>
  setStatus(tenant: Tenant, status: 'active' | 'suspended'): Promise<void>
  /** Puts the control database away as a restart does, or brings it back. */
  setCatalogReachable(reachable: boolean): Promise<void>
  remove(): Promise<void>
}

export async function prepareNamedTenants(name: string): Promise<NamedTenants> {
  const server = await startPreparedCluster(name)
  const catalog = await openTestCatalog(server)
  await registerTestCluster(catalog, server, 'us')
  const pool = await createItemsDatabase(server, 'pool')
  const reader = { address: server.as('freehold_reader', 'freehold_catalog'), applicationName: name }
  const source = createRouteSource(reader)
  const directory = createTenantDirectory(reader)
  const router = createRouter({ source, entrySecret: testEntrySecret })

  return {
    catalog,
    router,
    directory,
    async tenant(slug) {
      const input = createTenantSchema.parse({ slug, name: slug.toUpperCase(), region: 'us' })
      const { tenant } = await catalog.tenants.create(input, (id, placement) =>
        setResident({ ...pool, id: placement.dataDatabaseId }, id),
      )
      await router.forTenant(tenant.id).insertInto('items').values({ id: 1, name: slug }).execute()
      return tenant
    },
    async setStatus(tenant, status) {
      await withClient(server.as('freehold_owner', 'freehold_catalog'), 'test-kit', (client) =>
        client.query('update catalog.tenants set status = $2 where id = $1', [tenant.id, status]),
      )
    },
    async setCatalogReachable(reachable) {
      await withClient(asSuperuser(server.cluster, 'postgres'), 'test-kit', async (client) => {
        await client.query(`alter database freehold_catalog allow_connections ${reachable}`)
        if (reachable) return
        await client.query(
          "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'freehold_catalog'",
        )
      })
    },
    async remove() {
      await router.close()
      await Promise.all([source.close(), directory.close(), catalog.close()])
      await server.cluster.remove()
    },
  }
}
