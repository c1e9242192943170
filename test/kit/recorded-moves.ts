import { type Catalog, openCatalog } from '@freehold/catalog'
import { createTenantSchema, type OperationId, type Tenant } from '@freehold/contract'
import {
  openTestCatalog,
  type PreparedCluster,
  registerTestCluster,
  startPreparedCluster,
  type TestRegion,
} from './control-plane.ts'
import { recordMove } from './moves.ts'

/** A catalog with tenants and moves that are only recorded: no row is where it says. */
export interface RecordedMoves {
  readonly server: PreparedCluster
  readonly catalog: Catalog
  /** The same as a second worker has it, with connections of its own. */
  readonly other: Catalog
  readonly us: TestRegion
  readonly eu: TestRegion
  /** A tenant in the pool of `us`. */
  tenant(residency?: string): Promise<Tenant>
  /** A move of a new tenant to `eu`; nobody works on it yet. */
  move(changes?: Parameters<typeof recordMove>[3]): Promise<OperationId>
  remove(): Promise<void>
}

export async function prepareRecordedMoves(name: string): Promise<RecordedMoves> {
  const server = await startPreparedCluster(name)
  const catalog = await openTestCatalog(server)
  const other = openCatalog({
    address: server.as('freehold_control', 'freehold_catalog'),
    applicationName: 'other',
  })
  const us = await registerTestCluster(catalog, server, 'us')
  const eu = await registerTestCluster(catalog, server, 'eu')
  let created = 0
  async function tenant(residency?: string): Promise<Tenant> {
    const input = { slug: `tenant-${++created}`, name: 'A tenant', region: 'us', residency }
    return (await catalog.tenants.create(createTenantSchema.parse(input), async () => undefined)).tenant
  }
  return {
    server,
    catalog,
    other,
    us,
    eu,
    tenant,
    move: async (changes = {}) => (await recordMove(catalog, await tenant(), eu.cluster, changes)).id,
    async remove() {
      await other.close()
      await catalog.close()
      await server.cluster.remove()
    },
  }
}
