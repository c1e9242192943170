import type { ChangeStreamChoice } from '@freehold/contract'
import { type DatabaseAddress, hasSqlState, isConnectionError, SQLSTATE } from '@freehold/postgres'
import type pg from 'pg'
import { describeFailure } from '../failure.ts'
import { connectReplication } from './replication-client.ts'

/** How a move follows its tenant. */
export type StreamKind = Exclude<ChangeStreamChoice, 'auto'>

/** A move reads the log through one slot, and a verification marks its point with another. */
const SLOTS_NEEDED = 2

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
  mover: DatabaseAddress,
  choice: ChangeStreamChoice,
): Promise<ChosenStream> {
  if (choice !== 'auto') return { kind: choice }
  const because = await whyNoLogicalDecoding(mover)
  return because === undefined ? { kind: 'logical' } : { kind: 'triggers', because }
}

/**
 * Finds out whether a move could read the server's log, and leaves nothing there.
 *
 * @returns why it could not, or undefined.
 */
async function whyNoLogicalDecoding(mover: DatabaseAddress): Promise<string | undefined> {
  let replication: pg.Client
  try {
    // The server itself says whether this role, from here and now, may have a sender.
    replication = await connectReplication(mover, 'freehold-preflight')
  } catch (error) {
    // A server that lets nobody in is found by the checks; here it is none that is known to have no log.
    if (isConnectionError(error) || hasSqlState(error, SQLSTATE.invalidPassword, SQLSTATE.invalidCatalogName))
      return undefined
    return `${mover.user} may not replicate from it (${describeFailure(error)})`
  }
  try {
    return await whyNoSlot(replication)
  } finally {
    await replication.end().catch(() => undefined)
  }
}

async function whyNoSlot(client: pg.Client): Promise<string | undefined> {
  const found = await client.query<{ level: string; slots: string; senders: string }>(
    `select current_setting('wal_level') as level,
       current_setting('max_replication_slots')::integer - (select count(*) from pg_replication_slots) as slots,
       current_setting('max_wal_senders')::integer
         - (select count(*) from pg_stat_activity where backend_type = 'walsender') as senders`,
  )
  const { level, slots, senders } = found.rows[0] ?? { level: '', slots: 0, senders: 0 }
  if (level !== 'logical') return `wal_level is ${level}`
  if (Number(slots) < SLOTS_NEEDED)
    return `a move needs ${SLOTS_NEEDED} replication slots, and ${slots} of max_replication_slots are free`
  // This connection is one of the senders that a move needs.
  if (Number(senders) < SLOTS_NEEDED - 1)
    return `a move needs ${SLOTS_NEEDED} senders, and ${Number(senders) + 1} of max_wal_senders are free`
  return undefined
}
