import jwt from '@fastify/jwt'
import { FreeholdError, type Operator, operatorSchema } from '@freehold/contract'
import type { FastifyInstance, FastifyRequest } from 'fastify'

declare module '@fastify/jwt' {
  interface FastifyJWT {
    payload: Operator
    user: Operator
  }
}

/**
 * Makes `request.user` the operator of a valid token: signed with HS256 and nothing else, not expired, and with an
 * expiry at all.
 */
export function registerTokens(app: FastifyInstance, secret: string): void {
  app.register(jwt, {
    secret,
    sign: { algorithm: 'HS256' },
    verify: { algorithms: ['HS256'], requiredClaims: ['exp'] },
    formatUser: (payload) => operatorSchema.parse(payload),
  })
}

/** @throws FreeholdError `unauthenticated`, `token_expired` or `token_malformed`. */
export async function authenticate(request: FastifyRequest): Promise<void> {
  try {
    await request.jwtVerify()
  } catch (error) {
    throw refusal(error)
  }
}

/** @throws FreeholdError `forbidden` to whoever may only read. */
export async function requireOperator(request: FastifyRequest): Promise<void> {
  if (request.user.role === 'operator') return
  throw new FreeholdError('forbidden', 'This needs a token with the role operator.', {
    details: { role: request.user.role, needed: 'operator' },
  })
}

function refusal(cause: unknown): FreeholdError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'FST_JWT_NO_AUTHORIZATION_IN_HEADER' || code === 'FST_JWT_BAD_REQUEST') {
    return new FreeholdError('unauthenticated', undefined, { cause })
  }
  if (code === 'FST_JWT_AUTHORIZATION_TOKEN_EXPIRED')
    return new FreeholdError('token_expired', undefined, { cause })
  return new FreeholdError('token_malformed', undefined, { cause })
}
