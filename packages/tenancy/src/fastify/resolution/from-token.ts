import { isFreeholdError, tenantIdSchema } from '@freehold/contract'
import { tokenVerifier } from '../identity/verified-token.ts'
import { holdsApiKey } from './from-api-key.ts'
import { absent, named, type SourceOptions, type TenantSource } from './tenant-source.ts'

export interface TokenOptions extends SourceOptions {
  /** The claim that holds the tenant's id; `tenant` unless set. */
  readonly claim?: string
  /** The namespace of `@fastify/jwt`, if it was registered with one. */
  readonly namespace?: string
}

/** A number is an id where the tenant column is one; beyond 2^53 it would not be the number that was signed. */
function idOf(claim: unknown): unknown {
  return Number.isSafeInteger(claim) ? String(claim) : claim
}

/**
 * The tenant that a claim of the request's token names, verified by `@fastify/jwt`, which is registered first. It
 * authenticates. A good token that names no tenant is refused.
 */
export function fromToken(options: TokenOptions = {}): TenantSource {
  const { claim = 'tenant', namespace, required = false } = options
  const verifier = tokenVerifier(namespace)
  return {
    name: 'token',
    authenticates: true,
    required,
    needsDirectory: false,
    prepare: (app) => verifier.prepare(app),
    async find(request) {
      if (holdsApiKey(request)) return absent
      try {
        const claims = await verifier.claims(request)
        const tenantId = tenantIdSchema.safeParse(idOf(claims[claim]))
        return named(tenantId.success ? tenantId.data : null, 'no tenant in the token')
      } catch (error) {
        if (isFreeholdError(error, 'unauthenticated')) return absent
        throw error
      }
    },
  }
}
