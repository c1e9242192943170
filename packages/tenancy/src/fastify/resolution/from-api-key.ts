import { createHash, timingSafeEqual } from 'node:crypto'
import { API_KEY_MARK, apiKeyPrefix, FreeholdError } from '@freehold/contract'
import type { FastifyRequest } from 'fastify'
import type { KnownApiKey } from './tenant-directory.ts'
import { absent, type SourceOptions, type TenantSource } from './tenant-source.ts'

/** Stands for the digest of a key that does not exist: comparing takes as long. */
const NO_DIGEST = new Uint8Array(32)
const BEARER = /^Bearer +(\S+)$/i

/**
 * The tenant of an API key, in `X-API-Key` or as `Authorization: Bearer fh_...`. It authenticates. Unknown, revoked,
 * expired and malformed keys are all answered `api_key_invalid`.
 */
export function fromApiKey({ required = false }: SourceOptions = {}): TenantSource {
  return {
    name: 'api key',
    authenticates: true,
    required,
    needsDirectory: true,
    async find(request, names) {
      const [key, ...others] = sentKeys(request)
      if (key === undefined) return absent
      const prefix = apiKeyPrefix(key)
      if (prefix === undefined || others.length > 0) throw new FreeholdError('api_key_invalid')
      const known = await names.apiKey(prefix)
      const isKey = timingSafeEqual(createHash('sha256').update(key).digest(), known?.digest ?? NO_DIGEST)
      if (!isKey || !known || isExpired(known)) throw new FreeholdError('api_key_invalid')
      const { id, tenantId, scopes } = known
      return { kind: 'tenant', tenantId, apiKey: { id, scopes } }
    },
  }
}

/** Whether the Authorization header holds an API key, so that it is no token. */
export function holdsApiKey(request: FastifyRequest): boolean {
  return bearer(request)?.startsWith(API_KEY_MARK) === true
}

/** The different keys of a request. */
function sentKeys(request: FastifyRequest): Set<string> {
  const keys = new Set([request.raw.headers['x-api-key']].flat().filter((key) => key !== undefined))
  const token = bearer(request)
  if (token?.startsWith(API_KEY_MARK)) keys.add(token)
  return keys
}

function bearer(request: FastifyRequest): string | undefined {
  return BEARER.exec(request.raw.headers.authorization ?? '')?.[1]
}

function isExpired({ expiresAt }: KnownApiKey): boolean {
  return expiresAt !== null && expiresAt.getTime() <= Date.now()
}
