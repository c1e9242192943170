import {
  type Move,
  type MoveDetail,
  type MovePage,
  type MovePlan,
  type MoveTarget,
  moveDetailSchema,
  movePageSchema,
  movePlanSchema,
  moveSchema,
} from '@freehold/contract'
import { queryString } from './query-string.ts'
import { request } from './request.ts'

export interface MoveFilter {
  readonly tenant?: string
  readonly active?: boolean
  readonly cursor?: string | undefined
}

const PAGE_SIZE = 25

export function listMoves(filter: MoveFilter, signal: AbortSignal): Promise<MovePage> {
  return request(`/v1/moves${queryString({ ...filter, limit: PAGE_SIZE })}`, movePageSchema, { signal })
}

export function getMove(id: string, signal: AbortSignal): Promise<MoveDetail> {
  return request(`/v1/moves/${encodeURIComponent(id)}`, moveDetailSchema, { signal })
}

/** What an operator chooses of a move. */
export interface AskedMove {
  readonly target: MoveTarget
  readonly repair: boolean
  /** Unless given, what the control API is configured with. */
  readonly rollbackWindowSeconds?: number
}

/** Has every check of a move run, and changes nothing. */
export function planMove(tenant: string, asked: AskedMove, signal: AbortSignal): Promise<MovePlan> {
  const { target, ...terms } = asked
  return request(`/v1/moves/plan${queryString({ tenant, ...target, ...terms })}`, movePlanSchema, { signal })
}

export function startMove(tenant: string, asked: AskedMove, idempotencyKey: string): Promise<Move> {
  return request('/v1/moves', moveSchema, {
    method: 'POST',
    body: { tenant, ...asked },
    headers: { 'idempotency-key': idempotencyKey },
  })
}

/** What may be asked of a move that has been started. */
export type MoveOrder = 'cancel' | 'pause' | 'resume' | 'approve'

export function orderMove(id: string, order: MoveOrder): Promise<Move> {
  return request(`/v1/moves/${encodeURIComponent(id)}/${order}`, moveSchema, { method: 'POST' })
}

/** How an operator ends a rollback window. */
export type WindowEnd = 'rollback' | 'finalize'

export function endWindow(id: string, end: WindowEnd): Promise<Move> {
  return request(`/v1/moves/${encodeURIComponent(id)}/${end}`, moveSchema, {
    method: 'POST',
    body: { dryRun: false },
  })
}
