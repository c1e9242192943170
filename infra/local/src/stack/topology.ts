import { openCatalog } from '@freehold/catalog'
import { type Isolation, tierIdSchema } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import type { StackCluster } from './clusters.ts'
import { DATABASES } from './layout.ts'

const TIERS: readonly (readonly [id: string, name: string, isolation: Isolation])[] = [
  ['free', 'Free', 'pool'],
  ['pro', 'Pro', 'schema'],
  ['enterprise', 'Enterprise', 'silo'],
]

/**
 * Writes into the catalog what the stack consists of. What stands there already is brought up to date: ports and
 * paths may have changed since.
 *
 * @param catalog the control database as freehold_control.
 */
export async function registerTopology(
  catalog: DatabaseAddress,
  clusters: readonly StackCluster[],
): Promise<void> {
  const { topology, close } = openCatalog({ address: catalog, applicationName: 'freehold-stack', max: 1 })
  try {
    for (const [id, name, isolation] of TIERS) {
      await topology.registerTier({ id: tierIdSchema.parse(id), name, isolation })
    }
    for (const { region, cluster, secretReference } of clusters) {
      const { id, title: name, jurisdiction } = region
      await topology.registerRegion({ id, name, jurisdiction })
      await topology.registerCluster({
        id: region.cluster,
        region: id,
        host: cluster.host,
        port: cluster.port,
        tls: 'disable',
        ownerSecret: secretReference('freehold_owner'),
        moverSecret: secretReference('freehold_mover'),
        appSecret: secretReference('freehold_app'),
        capacityBytes: null,
      })
      await topology.registerPool({ clusterId: region.cluster, name: DATABASES.pool })
    }
  } finally {
    await close()
  }
}
