import { domainToASCII } from 'node:url'
import { FreeholdError } from '@freehold/contract'
import type { FastifyRequest } from 'fastify'

/** The longest domain name, a final dot, and a port. */
const MAX_AUTHORITY_LENGTH = 253 + 1 + 6
/** A name or an IPv4 address, or an IPv6 address in brackets; then perhaps a port. */
const AUTHORITY = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i

/**
 * The host of a request, in lower case, without port and final dot. `X-Forwarded-Host` counts where Fastify's
 * `trustProxy` trusts who sent it, and nowhere else.
 *
 * @returns null when the request names no host, undefined when what it names is not one.
 */
export function requestHost(request: FastifyRequest): string | null | undefined {
  const authority = request.host
  if (authority === '') return null
  if (authority.length > MAX_AUTHORITY_LENGTH) return undefined
  return AUTHORITY.exec(authority)?.[1]?.toLowerCase().replace(/\.$/, '')
}

/**
 * A host out of the product's own options, in the form of {@link requestHost}.
 *
 * @throws FreeholdError `config_invalid`
 */
export function configuredHost(option: string, text: string): string {
  const host = domainToASCII(text.replace(/\.$/, '')) || text.toLowerCase()
  if (AUTHORITY.exec(host)?.[1] === host) return host
  throw new FreeholdError('config_invalid', `${option}: ${JSON.stringify(text)} is not a host.`)
}
