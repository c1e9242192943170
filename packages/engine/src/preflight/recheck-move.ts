import { appAddress, type ClusterRecord, ownerAddress } from '@freehold/catalog'
import type { ClientBase } from 'pg'
import { freshConnections } from '../kept-connections.ts'
import { MAINTENANCE_DATABASE } from '../resources/database.ts'
import type { Finding } from './finding.ts'
import { reach } from './reach.ts'

/** Whether one can connect is part of the question. */
const FRESH = freshConnections('freehold-preflight')

export interface Recheck {
  readonly source: { readonly client: ClientBase; readonly cluster: string; readonly slot: string | null }
  readonly target: { readonly cluster: ClusterRecord; readonly database: string }
}

/**
 * What may have changed since the move began, and can be told quickly. Asked right before a switch and outside of its
 * fence. Residency is not among it: the catalog's constraints hold it for as long as a move is under way.
 */
export async function recheckMove({ source, target }: Recheck): Promise<Finding[]> {
  const found = await Promise.all([
    source.slot === null ? [] : checkSlot(source.client, source.slot, source.cluster),
    checkApplication(target),
    checkRoomLeft(target.cluster),
  ])
  return found.flat()
}

/** Whether the server still keeps the log that the target has not read. A stream of another kind has no slot. */
export async function checkSlot(client: ClientBase, slot: string, cluster: string): Promise<Finding[]> {
  const lost = await client.query(
    `select from pg_replication_slots where slot_name = $1 and wal_status = 'lost'`,
    [slot],
  )
  if (lost.rowCount === 0) return []
  return [{ code: 'slot_lost', object: slot, found: `Replication slot ${slot} is lost on ${cluster}.` }]
}

/** The database is there by now, so that it shows whether the product will be let in after the switch. */
async function checkApplication({ cluster, database }: Recheck['target']): Promise<Finding[]> {
  const address = await appAddress(cluster, database)
  const { refusal } = await reach(FRESH, 'application_locked_out', cluster.id, address, async () => true)
  return refusal === undefined ? [] : [refusal]
}

/** The copy is there by now, so that nothing more is needed than not to be over the limit. */
async function checkRoomLeft({ id, capacityBytes, ...access }: ClusterRecord): Promise<Finding[]> {
  if (capacityBytes === null) return []
  const { refusal, facts: used } = await reach(
    FRESH,
    'target_unreachable',
    id,
    await ownerAddress(access, MAINTENANCE_DATABASE),
    readUsedBytes,
  )
  if (refusal !== undefined) return [refusal]
  if (used <= capacityBytes) return []
  const found = `The databases on cluster ${id} take ${used} bytes of ${capacityBytes}.`
  return [{ code: 'target_without_room', object: id, found, details: { cluster: id, usedBytes: used } }]
}

async function readUsedBytes(client: ClientBase): Promise<number> {
  const result = await client.query<{ used: string }>(
    'select sum(pg_database_size(oid)) as used from pg_database where datallowconn and not datistemplate',
  )
  return Number(result.rows[0]?.used ?? 0)
}
