import { FreeholdError, isFreeholdError } from '@freehold/contract'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'

/** More than any token needs, and what Node takes of headers altogether. */
const MAX_AUTHORIZATION_LENGTH = 16 * 1024

const claimsSchema = z.record(z.string(), z.unknown())

export type Claims = z.infer<typeof claimsSchema>

/** How a token is verified: by `@fastify/jwt`, in the namespace under which it was registered. */
export interface TokenVerifier {
  /** @throws FreeholdError `config_invalid` when `@fastify/jwt` has not been registered. */
  prepare(app: FastifyInstance): void
  /**
   * The claims of the request's token.
   *
   * @throws FreeholdError `unauthenticated` without a token, `token_expired`, `token_malformed`,
   * `identity_provider_unavailable`
   */
  claims(request: FastifyRequest): Promise<Claims>
}

/** @param namespace that of `@fastify/jwt`, if it was registered with one. */
export function tokenVerifier(namespace?: string): TokenVerifier {
  const decorator = namespace === undefined ? 'jwtVerify' : `${namespace}JwtVerify`
  return {
    prepare(app) {
      if (app.hasRequestDecorator(decorator)) return
      const where = namespace === undefined ? '' : ` with the namespace ${JSON.stringify(namespace)}`
      throw new FreeholdError('config_invalid', `Register @fastify/jwt${where} first.`)
    },

    async claims(request) {
      const { authorization = '' } = request.raw.headers
      if (authorization.length > MAX_AUTHORIZATION_LENGTH) throw new FreeholdError('token_malformed')
      try {
        const verify = request.getDecorator<() => Promise<unknown>>(decorator)
        return claimsSchema.parse(await verify())
      } catch (error) {
        throw tokenError(error)
      }
    },
  }
}

/** The causes of refusals are dropped where they might quote the token. */
function tokenError(cause: unknown): unknown {
  if (isFreeholdError(cause)) return cause
  if (cause instanceof z.ZodError) return new FreeholdError('token_malformed', undefined, { cause })
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (code === 'FST_JWT_AUTHORIZATION_TOKEN_EXPIRED')
    return new FreeholdError('token_expired', undefined, { cause })
  if (MISSING.has(code)) return new FreeholdError('unauthenticated', undefined, { cause })
  if (code.startsWith('FST_JWT_') || code.startsWith('FAST_JWT_')) {
    return new FreeholdError('token_malformed', undefined, { cause })
  }
  return cause
}

const MISSING = new Set([
  'FST_JWT_NO_AUTHORIZATION_IN_HEADER',
  'FST_JWT_NO_AUTHORIZATION_IN_COOKIE',
  'FST_JWT_BAD_REQUEST',
  'FST_JWT_BAD_COOKIE_REQUEST',
])
