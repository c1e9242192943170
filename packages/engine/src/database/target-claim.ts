// Only one worker writes to the target of a move: the one with the newest lease. The database itself sees to it,
// through the fencing token in the stream's row of `freehold.applied`.

import { FreeholdError } from '@freehold/contract'
import { formatLsn, type Lsn } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { z } from 'zod'
import { endSessions } from './end-sessions.ts'

/**
 * Connections with these names write to the target of a stream, and are ended when another worker takes the target over.
 * They name the stream, because a database may be the target of several moves.
 */
export function targetWriters(stream: string) {
  return { copy: `freehold-copy ${stream}`, apply: `freehold-apply ${stream}` } as const
}

/** A stream and the lease under which its target is written. */
export interface TargetClaim {
  readonly stream: string
  readonly fencingToken: number
}

const claimedRow = z.object({ first: z.boolean() })

/**
 * Makes the target this worker's. What a former worker has under way there is ended first: it may be waiting for
 * ever, and would hold the row.
 *
 * @param begins where the stream begins in the source's log; nothing before it is applied.
 * @returns whether nobody had claimed it for the stream before.
 * @throws FreeholdError `lease_lost` when a newer lease has claimed the target.
 */
export async function claimTarget(mover: ClientBase, claim: TargetClaim, begins: Lsn = 0n): Promise<boolean> {
  await endWriters(mover, claim)
  const claimed = await mover.query(
    `insert into freehold.applied (stream, fencing_token, lsn) values ($1, $2, $3)
     on conflict (stream) do update set fencing_token = excluded.fencing_token
       where applied.fencing_token <= excluded.fencing_token
     returning xmax = 0 as first`,
    [claim.stream, claim.fencingToken, formatLsn(begins)],
  )
  if (claimed.rows[0] === undefined) throw targetTaken()
  return claimedRow.parse(claimed.rows[0]).first
}

/**
 * As {@link claimTarget}, but only where the stream has claimed before: to remove what it has written.
 *
 * @returns whether it has.
 */
export async function reclaimTarget(mover: ClientBase, claim: TargetClaim): Promise<boolean> {
  const found = await mover.query('select from freehold.applied where stream = $1', [claim.stream])
  if (found.rowCount === 0) return false
  await endWriters(mover, claim)
  const claimed = await mover.query(
    'update freehold.applied set fencing_token = $2 where stream = $1 and fencing_token <= $2',
    [claim.stream, claim.fencingToken],
  )
  if (claimed.rowCount !== 1) throw targetTaken()
  return true
}

async function endWriters(mover: ClientBase, { stream }: TargetClaim): Promise<void> {
  await endSessions(mover, Object.values(targetWriters(stream)))
}

/**
 * Holds the claim until the open transaction ends; a worker that takes over waits for it.
 *
 * @throws FreeholdError `lease_lost` when the target is no longer this worker's.
 */
export async function holdTarget(client: ClientBase, claim: TargetClaim): Promise<void> {
  const held = await client.query(
    'select from freehold.applied where stream = $1 and fencing_token = $2 for share',
    [claim.stream, claim.fencingToken],
  )
  if (held.rowCount !== 1) throw targetTaken()
}

/** Takes the stream's row away, unless a newer lease has claimed it. Without it nothing of the stream is written any more. */
export async function forgetTarget(client: ClientBase, claim: TargetClaim): Promise<void> {
  await client.query('delete from freehold.applied where stream = $1 and fencing_token <= $2', [
    claim.stream,
    claim.fencingToken,
  ])
}

export function targetTaken(): FreeholdError {
  return new FreeholdError('lease_lost', 'Another worker has taken over the target of the move.')
}
