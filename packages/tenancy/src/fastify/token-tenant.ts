import { FreeholdError, isFreeholdError, type TenantId, tenantIdSchema } from '@freehold/contract'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'

const claimsSchema = z.record(z.string(), z.unknown())

/**
 * The tenant that a request's token names.
 *
 * @throws FreeholdError `unauthenticated` without a token, `token_expired`, `token_malformed`, and `forbidden` when
 * a good token names no tenant.
 */
export async function tokenTenant(request: FastifyRequest, claim: string): Promise<TenantId> {
  let verified: unknown
  try {
    verified = await request.jwtVerify()
  } catch (error) {
    throw tokenError(error)
  }
  const claims = claimsSchema.safeParse(verified)
  const tenantId = tenantIdSchema.safeParse(claims.data?.[claim])
  if (!tenantId.success) throw noSuchTenant()
  return tenantId.data
}

/** Whoever holds a token for a tenant that is not (any more) learns no more than that it opens nothing. */
function noSuchTenant(cause?: unknown): FreeholdError {
  return new FreeholdError('forbidden', 'The token opens no tenant.', { cause })
}

/** Says nothing to clients about tenants beyond what their token already told them. */
export function withoutTenant(error: unknown): unknown {
  if (isFreeholdError(error, 'tenant_not_found')) return noSuchTenant(error)
  if (isFreeholdError(error, 'tenant_suspended'))
    return new FreeholdError('tenant_suspended', undefined, { cause: error })
  return error
}

function tokenError(cause: unknown): unknown {
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
