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

/** Has every check of a move run, and changes nothing. */
export function planMove(tenant: string, target: MoveTarget, signal: AbortSignal): Promise<MovePlan> {
  return request(`/v1/moves/plan${queryString({ tenant, ...target })}`, movePlanSchema, { signal })
}

export function startMove(tenant: string, target: MoveTarget, idempotencyKey: string): Promise<Move> {
  return request('/v1/moves', moveSchema, {
    method: 'POST',
    body: { tenant, target },
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
