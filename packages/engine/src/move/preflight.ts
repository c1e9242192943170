import { type ClusterRecord, ownerAddress } from '@freehold/catalog'
import { FreeholdError } from '@freehold/contract'
import {
  type DatabaseAddress,
  hasSqlState,
  isConnectionError,
  SQLSTATE,
  withClient,
} from '@freehold/postgres'
import type pg from 'pg'
import type { TenantScope } from '../database/entered.ts'
import { estimateTables, type TableEstimate } from '../database/estimate.ts'
import { readTables } from '../database/tables.ts'
import { MAINTENANCE_DATABASE } from '../resources/silo-database.ts'

export interface CheckMove {
  readonly source: TenantScope
  readonly target: ClusterRecord
}

/**
 * Finds out, before anything is created, whether a move can work: both sides can be reached, every table can be moved
 * without loss, and the target has room.
 *
 * @returns what there is to move.
 * @throws FreeholdError `source_unreachable`, `target_unreachable`, `target_without_room`,
 * `table_without_tenant_column`, `table_without_primary_key` or `table_not_protected`.
 */
export async function checkMove({ source, target }: CheckMove): Promise<TableEstimate[]> {
  const estimates = await reach('source_unreachable', source.mover, async (client) =>
    estimateTables(client, source, await readTables(client, source.schema)),
  )
  const needed = estimates.reduce((sum, { bytesEstimated }) => sum + bytesEstimated, 0)
  await reach('target_unreachable', await ownerAddress(target, MAINTENANCE_DATABASE), (client) =>
    requireRoom(client, target, needed),
  )
  return estimates
}

/** Room is what the catalog grants the cluster less what all of its databases take now. */
async function requireRoom(client: pg.Client, target: ClusterRecord, needed: number): Promise<void> {
  if (target.capacityBytes === null) return
  const result = await client.query<{ used: string }>(
    'select sum(pg_database_size(oid)) as used from pg_database where datallowconn and not datistemplate',
  )
  const free = target.capacityBytes - Number(result.rows[0]?.used ?? 0)
  if (needed <= free) return
  throw new FreeholdError(
    'target_without_room',
    `The tenant needs about ${needed} bytes; cluster ${target.id} has ${Math.max(free, 0)} of ${target.capacityBytes} left.`,
    { details: { cluster: target.id, neededBytes: needed, freeBytes: Math.max(free, 0) } },
  )
}

const REFUSED_CONNECTION = [
  SQLSTATE.invalidCatalogName,
  SQLSTATE.invalidPassword,
  SQLSTATE.invalidAuthorization,
] as const

async function reach<T>(
  code: 'source_unreachable' | 'target_unreachable',
  address: DatabaseAddress,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  try {
    return await withClient(address, 'freehold-preflight', work)
  } catch (error) {
    if (isConnectionError(error)) {
      throw new FreeholdError(code, `${address.host}:${address.port} does not answer.`, { cause: error })
    }
    if (!hasSqlState(error, ...REFUSED_CONNECTION)) throw error
    throw new FreeholdError(
      code,
      `${address.host}:${address.port} does not let ${address.user} into ${address.database}.`,
      { cause: error },
    )
  }
}
