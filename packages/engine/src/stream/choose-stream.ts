import type { ChangeStreamChoice } from '@freehold/contract'
import { type DatabaseAddress, hasSqlState, isConnectionError, SQLSTATE } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { Connections } from '../kept-connections.ts'

/** How a move follows its tenant. */
export type StreamKind = Exclude<ChangeStreamChoice, 'auto'>

/** A move reads the log through one slot and sender, and a verification marks its point with another. */
const NEEDED = 2

const REFUSED = [
  SQLSTATE.invalidCatalogName,
  SQLSTATE.invalidPassword,
  SQLSTATE.invalidAuthorization,
  SQLSTATE.insufficientPrivilege,
] as const

export interface ChosenStream {
  readonly kind: StreamKind
  /** Why the log cannot be had, where that has decided it. */
  readonly because?: string
}

/**
 * Decides how a move follows its tenant: by the source's log where that can be had, by triggers otherwise. What speaks
 * against a kind that was asked for, the preflight finds.
 *
 * @param mover the source.
 */
export async function chooseStream(
  connections: Connections,
  mover: DatabaseAddress,
  choice: ChangeStreamChoice,
): Promise<ChosenStream> {
  if (choice !== 'auto') return { kind: choice }
  const because = await whyNoLogicalDecoding(connections, mover)
  return because === undefined ? { kind: 'logical' } : { kind: 'triggers', because }
}

/**
 * Finds out whether a move could read the server's log. A server that lets nobody in is found by other checks; here it
 * is none that is known to have no log.
 */
async function whyNoLogicalDecoding(
  connections: Connections,
  mover: DatabaseAddress,
): Promise<string | undefined> {
  try {
    return await connections.use(mover, whyNoSlot)
  } catch (error) {
    if (isConnectionError(error) || hasSqlState(error, ...REFUSED)) return undefined
    throw error
  }
}

async function whyNoSlot(client: ClientBase): Promise<string | undefined> {
  const found = await client.query<{ level: string; may: boolean; slots: number; senders: number }>(
    `select current_setting('wal_level') as level,
       (select rolreplication or rolsuper from pg_roles where rolname = current_user) as may,
       current_setting('max_replication_slots')::int - (select count(*)::int from pg_replication_slots) as slots,
       current_setting('max_wal_senders')::int - (select count(*)::int from pg_stat_replication) as senders`,
  )
  const row = found.rows[0]
  if (row === undefined) return undefined
  if (row.level !== 'logical') return `wal_level is ${row.level}`
  if (!row.may) return 'the mover may not replicate'
  if (row.slots < NEEDED) return `a move needs ${NEEDED} replication slots, and ${row.slots} are left`
  if (row.senders < NEEDED) return `a move needs ${NEEDED} WAL senders, and ${row.senders} are left`
  return undefined
}
