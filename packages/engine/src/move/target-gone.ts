import { ownerAddress } from '@freehold/catalog'
import { FreeholdError } from '@freehold/contract'
import { hasSqlState, SQLSTATE, withClient } from '@freehold/postgres'
import { MAINTENANCE_DATABASE } from '../resources/database.ts'
import type { Move } from './move.ts'

/**
 * Whether a step has failed because the target's database was dropped: its server says so itself, when it is asked
 * elsewhere. Tried again, nothing would be there to go on with.
 *
 * @returns the error to end the move with; undefined when that is not the case, or the server cannot be asked now.
 */
export async function targetGone({ target }: Move, error: unknown): Promise<FreeholdError | undefined> {
  if (!hasSqlState(error, SQLSTATE.invalidCatalogName)) return undefined
  const { cluster, database } = target
  const maintenance = await ownerAddress(cluster, MAINTENANCE_DATABASE)
  const found = await withClient(maintenance, 'freehold-look', (client) =>
    client.query('select from pg_database where datname = $1', [database]),
  ).catch(() => undefined)
  if (found?.rowCount !== 0) return undefined
  return new FreeholdError('target_gone', `Database ${database} on cluster ${cluster.id} has been dropped.`, {
    cause: error,
    details: { cluster: cluster.id, database },
  })
}
