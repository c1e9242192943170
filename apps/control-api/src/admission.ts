import { type AdmitTenant, type ClusterRecord, moverAddress } from '@freehold/catalog'
import { type DataDatabaseId, FreeholdError, type Placement } from '@freehold/contract'
import { admitResident } from '@freehold/engine'
import { createPool, deriveEntryKey, isConnectionError } from '@freehold/postgres'
import type pg from 'pg'

const CONNECTIONS_PER_POOL = 4

/** Lets new tenants into the data databases of their first placements. */
export interface Admission {
  /** @throws FreeholdError `database_unavailable` */
  readonly admit: AdmitTenant
  close(): Promise<void>
}

/** Keeps a few connections to each pool database in which tenants begin. */
export function createAdmission(entrySecret: string): Admission {
  const pools = new Map<DataDatabaseId, Promise<pg.Pool>>()

  async function inDatabase(
    placement: Placement,
    cluster: ClusterRecord,
    work: (client: pg.PoolClient) => Promise<void>,
  ): Promise<void> {
    const { dataDatabaseId, database } = placement
    const opening = pools.get(dataDatabaseId) ?? openPool(cluster, database)
    pools.set(dataDatabaseId, opening)
    const client = await opening
      .then((pool) => pool.connect())
      .catch((cause: unknown) => {
        // The cluster may have been registered anew, with another address or password.
        if (pools.get(dataDatabaseId) === opening) pools.delete(dataDatabaseId)
        void opening.then((pool) => pool.end()).catch(() => undefined)
        throw unavailable(placement, cause)
      })
    try {
      await work(client)
      client.release()
    } catch (error) {
      const isGone = isConnectionError(error)
      client.release(isGone)
      throw isGone ? unavailable(placement, error) : error
    }
  }

  return {
    async admit(tenantId, placement, cluster) {
      const { dataDatabaseId, epoch } = placement
      const entryKey = deriveEntryKey(entrySecret, { tenantId, dataDatabaseId, epoch })
      await inDatabase(placement, cluster, (client) => admitResident(client, { tenantId, epoch, entryKey }))
    },
    async close() {
      await Promise.allSettled([...pools.values()].map(async (pool) => (await pool).end()))
    },
  }
}

async function openPool(cluster: ClusterRecord, database: string): Promise<pg.Pool> {
  return createPool(await moverAddress(cluster, database), 'freehold-control-api', CONNECTIONS_PER_POOL)
}

function unavailable({ cluster, database }: Placement, cause: unknown): FreeholdError {
  return new FreeholdError('database_unavailable', `The pool ${database} cannot be reached.`, {
    cause,
    details: { cluster, database },
    retryAfterSeconds: 1,
  })
}
