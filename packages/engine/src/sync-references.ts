import { type Catalog, moverAddress, ownerAddress } from '@freehold/catalog'
import { FreeholdError, type Placement, type ReferenceSync } from '@freehold/contract'
import { inTransaction, withClient } from '@freehold/postgres'
import type pg from 'pg'
import { isEqual } from './database/checksum.ts'
import { useExactText } from './database/exact-text.ts'
import { alignSequencesOf, compareReferences, copyReferences } from './database/reference-tables.ts'
import { pairTables, readReferenceTables, type TablePair } from './database/tables.ts'

const APPLICATION = 'freehold-references'

/**
 * Makes the reference tables in the silo, or the schema, of a tenant what they are in a pool of its region, while the tenant
 * works: in one transaction, or not at all. A move of the tenant that is under way notices, and carries them over.
 *
 * @throws FreeholdError `tenant_not_found`; `pool_not_found` when the region has no pool; `schema_mismatch`;
 * `foreign_key_broken` when rows of the tenant refer to one that the pool does not have.
 */
export async function syncReferences(
  catalog: Catalog,
  tenantIdOrSlug: string,
  { dryRun }: { readonly dryRun: boolean },
): Promise<ReferenceSync> {
  const { id, slug, placement } = await catalog.tenants.get(tenantIdOrSlug)
  const tenant = { id, slug }
  if (placement.isolation === 'pool') return { tenant, from: null, tables: 0, different: [], synced: false }
  const { cluster, database } = await poolFor(catalog, placement)
  const home = await catalog.topology.cluster(placement.cluster)
  const [mover, poolOwner, owner] = await Promise.all([
    moverAddress(cluster, database),
    ownerAddress(cluster, database),
    ownerAddress(home, placement.database),
  ])
  const from = { cluster: cluster.id, database }
  return withClient(mover, APPLICATION, (source) =>
    withClient(owner, APPLICATION, async (target) => {
      const { pairs, different } = await differencesOf(source, target, placement.schema, dryRun)
      if (!dryRun && different.length > 0)
        await withClient(poolOwner, APPLICATION, (client) =>
          alignSequencesOf(
            different,
            { owner: client, schema: 'public' },
            { owner: target, schema: placement.schema },
          ),
        )
      return {
        tenant,
        from,
        tables: pairs.length,
        different: different.map((pair) => pair.source.key),
        synced: !dryRun && different.length > 0,
      }
    }),
  )
}

/** Finds the tables that differ and, unless told not to, makes them equal. */
async function differencesOf(
  source: pg.Client,
  target: pg.Client,
  schema: string,
  dryRun: boolean,
): Promise<{ readonly pairs: TablePair[]; readonly different: TablePair[] }> {
  await Promise.all([useExactText(source), useExactText(target)])
  const pairs = pairTables(
    await readReferenceTables(source, 'public'),
    await readReferenceTables(target, schema),
  )
  return inTransaction(
    source,
    async () => {
      const compared = await compareReferences(source, target, pairs)
      const different = compared.filter((comparison) => !isEqual(comparison)).map(({ tables }) => tables)
      if (!dryRun) await copyReferences(source, target, different)
      return { pairs, different }
    },
    'begin isolation level repeatable read read only',
  )
}

/** The pool whose reference tables are the tenant's: the one that its schema is in, or one of its cluster, or of its region. */
async function poolFor(catalog: Catalog, placement: Placement) {
  const clusters = await catalog.topology.clustersIn(placement.region)
  const pools = await catalog.topology.pools(clusters.map(({ id }) => id))
  const [pool] = [
    ...pools.filter(({ id }) => id === placement.dataDatabaseId),
    ...pools.filter(({ clusterId }) => clusterId === placement.cluster),
    ...pools,
  ]
  const cluster = clusters.find(({ id }) => id === pool?.clusterId)
  if (pool === undefined || cluster === undefined) {
    throw new FreeholdError('pool_not_found', `There is no pool in ${placement.region}.`, {
      details: { region: placement.region },
    })
  }
  return { cluster, database: pool.name }
}
