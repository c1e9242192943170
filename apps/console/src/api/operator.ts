import { type Operator, operatorSchema } from '@freehold/contract'
import { request } from './request.ts'

/** Whom the session's token stands for. */
export function getOperator(signal: AbortSignal): Promise<Operator> {
  return request('/v1/me', operatorSchema, { signal })
}

/** Whom a token stands for that is not (yet) the session's. */
export function identify(token: string): Promise<Operator> {
  return request('/v1/me', operatorSchema, { token })
}
