import {
  clusterIdSchema,
  type EvacuationId,
  evacuationIdSchema,
  FreeholdError,
  type MoveWait,
  type OperationId,
  type SwitchConditions,
} from '@freehold/contract'
import { z } from 'zod'
import type { Queries } from './database.ts'
import type { Operation } from './operations.ts'
import { bigintRow, instantRow } from './rows.ts'

// How a move is operated, as columns of its operation: what was asked of it, and what it waits for.

/** What was asked of a move when it was started. */
export interface MoveTerms {
  readonly cutover?: SwitchConditions | undefined
  /** Rows copied or purged per second at most. */
  readonly maxRowsPerSecond?: number | undefined
  /** Rows of the target that are found to differ are rewritten. */
  readonly repair?: boolean | undefined
  /** The evacuation that starts the move; those started by hand go before it. */
  readonly evacuation?: EvacuationId | undefined
}

/** Why an attempt failed; names no row and no secret. */
export interface Failure {
  readonly code: string
  readonly message: string
  /** How many there were, when it is not the phase's attempts that are counted. */
  readonly attempts?: number | undefined
  /** Whether it is about a server, and may pass by itself or by an operator's hand. */
  readonly passing?: boolean | undefined
}

export const operatedColumns = {
  pausedAt: instantRow.nullable(),
  pausedBy: z.string().nullable(),
  needsApproval: z.boolean(),
  approvedAt: instantRow.nullable(),
  approvedBy: z.string().nullable(),
  switchNotBefore: instantRow.nullable(),
  switchFrom: z.string().nullable(),
  switchUntil: z.string().nullable(),
  switchZone: z.string().nullable(),
  /** When the switch may begin, if not at once. */
  switchOpensAt: instantRow.nullable(),
  /** Whether people let the switch begin, by the catalog's clock when the operation was read. */
  maySwitch: z.boolean(),
  maxRowsPerSecond: z.int().nullable(),
  repair: z.boolean(),
  evacuationId: evacuationIdSchema.nullable(),
  lastFailure: z
    .object({
      code: z.string(),
      message: z.string(),
      attempts: z.int().optional(),
      passing: z.boolean().default(false),
    })
    .nullable(),
  /** Since when every attempt has failed. */
  failingSince: instantRow.nullable(),
  /** For how long that is, by the catalog's clock when the operation was read. */
  failingMs: z.coerce.number(),
  /** When it is taken up again, or its switch tried again; null when it is due or somebody works on it. */
  nextAttemptAt: instantRow.nullable(),
  lineCluster: clusterIdSchema.nullable(),
  linePlace: bigintRow.nullable(),
  lineFree: bigintRow.nullable(),
  lineLimit: z.int().nullable(),
}

export const OPERATED_COLUMNS = `
  operations.paused_at as "pausedAt", operations.paused_by as "pausedBy",
  operations.needs_approval as "needsApproval", operations.approved_at as "approvedAt",
  operations.approved_by as "approvedBy", operations.switch_not_before as "switchNotBefore",
  to_char(operations.switch_from, 'HH24:MI') as "switchFrom",
  to_char(operations.switch_until, 'HH24:MI') as "switchUntil", operations.switch_zone as "switchZone",
  opening.at as "switchOpensAt", catalog.may_switch(operations) as "maySwitch",
  operations.max_rows_per_second as "maxRowsPerSecond", operations.repair, operations.evacuation_id as "evacuationId",
  operations.last_failure as "lastFailure", failing.since as "failingSince",
  coalesce(extract(epoch from clock_timestamp() - failing.since) * 1000, 0) as "failingMs",
  case when operations.run_after > clock_timestamp()
      and (operations.lease_owner is null or operations.last_failure ? 'attempts')
    then operations.run_after end as "nextAttemptAt",
  line.cluster_id as "lineCluster", line.place as "linePlace", line.free as "lineFree",
  line.max_moves as "lineLimit"`

export const OPERATED_JOINS = `
  cross join lateral (select case when operations.last_failure is not null
    then coalesce((operations.last_failure ->> 'since')::timestamptz, operations.updated_at) end as since) failing
  left join lateral (
    select at from catalog.switch_opens_at(clock_timestamp(), operations.switch_not_before, operations.switch_from,
      operations.switch_until, operations.switch_zone) at
    where operations.phase = 'ready' and at > clock_timestamp()) opening on true
  left join lateral (
    select cluster_id, place, free, max_moves from catalog.move_line
    where operations.phase = 'planned' and operations.finished_at is null and operation_id = operations.id
      and place > free
    order by place - free desc, cluster_id limit 1) line on true`

/**
 * Writes down what was asked of a move, in the transaction that records it.
 *
 * @throws FreeholdError `move_cancelled` when its evacuation has ended since the move was planned.
 */
export async function recordTerms(queries: Queries, id: OperationId, terms: MoveTerms = {}): Promise<void> {
  if (terms.evacuation !== undefined) await requireOpen(queries, terms.evacuation)
  const { approve = false, notBefore = null, window = null } = terms.cutover ?? {}
  await queries.run(
    `update catalog.operations
     set needs_approval = $2, switch_not_before = $3, switch_from = $4, switch_until = $5, switch_zone = $6,
       max_rows_per_second = $7, evacuation_id = $8, repair = $9
     where id = $1`,
    [
      id,
      approve,
      notBefore,
      window?.from ?? null,
      window?.to ?? null,
      window?.tz ?? null,
      terms.maxRowsPerSecond ?? null,
      terms.evacuation ?? null,
      terms.repair ?? false,
    ],
  )
}

/** The lock keeps the evacuation from being ended before the move can be seen. */
async function requireOpen(queries: Queries, evacuation: EvacuationId): Promise<void> {
  const open = await queries.first(
    z.object({}),
    'select from catalog.evacuations where id = $1 and finished_at is null for share',
    [evacuation],
  )
  if (open === undefined) throw new FreeholdError('move_cancelled', 'The cluster is not drained any more.')
}

/** The part of a move on the wire that says how it is operated. */
export function operatedMove(operation: Operation) {
  const { switchFrom, switchUntil, switchZone } = operation
  const hasWindow = switchFrom !== null && switchUntil !== null && switchZone !== null
  return {
    waiting: waitOf(operation),
    cutover: {
      approve: operation.needsApproval,
      approvedAt: operation.approvedAt,
      approvedBy: operation.approvedBy,
      notBefore: operation.switchNotBefore,
      window: hasWindow ? { from: switchFrom, to: switchUntil, tz: switchZone } : null,
    },
    maxRowsPerSecond: operation.maxRowsPerSecond,
    repair: operation.repair,
    evacuation: operation.evacuationId,
  }
}

/** Of several reasons the one that has to go first. */
function waitOf(operation: Operation): MoveWait | null {
  const { phase, pausedAt, pausedBy, lastFailure, failingSince: since, nextAttemptAt } = operation
  if (operation.finishedAt !== null || operation.cancelRequested || phase === 'aborting') return null
  if (pausedAt !== null && pausedBy !== null) {
    const because = lastFailure && { code: lastFailure.code, reason: lastFailure.message }
    return { for: 'resume', since: pausedAt, by: pausedBy, because }
  }
  if (lastFailure !== null && since !== null && nextAttemptAt !== null) {
    const { code, message: reason, attempts = operation.attempts } = lastFailure
    return { for: 'retry', attempts, since, nextAttemptAt, code, reason }
  }
  const { lineCluster: cluster, linePlace, lineFree, lineLimit: limit } = operation
  if (cluster !== null && linePlace !== null && lineFree !== null && limit !== null) {
    return { for: 'line', cluster, place: linePlace, underWay: limit - lineFree, limit }
  }
  if (phase !== 'ready') return null
  if (operation.needsApproval && operation.approvedAt === null) return { for: 'approval' }
  return operation.switchOpensAt === null ? null : { for: 'window', opensAt: operation.switchOpensAt }
}
