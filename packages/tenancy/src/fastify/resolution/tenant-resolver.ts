import { FreeholdError, isFreeholdError, type TenantId } from '@freehold/contract'
import type { FastifyRequest } from 'fastify'
import type { Tenant } from '../../placement/placement.ts'
import type { TenantNames } from './tenant-directory.ts'
import type { RequestApiKey, TenantSource } from './tenant-source.ts'

/**
 * What a route asks of a request: that somebody has proved that they may act for the tenant, or only that it says
 * which tenant it is about.
 */
export type Demand = 'authenticated' | 'identified'

/** The tenant of a request, and with what key it came. */
export interface Resolved {
  readonly tenant: Tenant
  readonly apiKey: RequestApiKey | null
}

/** How a tenant's id becomes a tenant. @throws FreeholdError as `Router.tenant` does. */
export type TenantLookup = (tenantId: TenantId) => Promise<Tenant>

/** What was found in one source. */
interface Found {
  readonly source: TenantSource
  readonly tenantId: TenantId
  readonly apiKey?: RequestApiKey
}

/**
 * Finds the tenant of a request: the one that the first source which has something names, if every other source that
 * has something names it too.
 *
 * Credentials are looked at first, so whoever has none is answered the same whatever host or path was asked for.
 * After that every refusal looks the same: an unknown name, a name of another tenant, a tenant that is gone. Only who
 * has proved to act for a suspended tenant is told that it is suspended.
 */
export class TenantResolver {
  readonly #sources: readonly TenantSource[]
  readonly #names: TenantNames
  readonly #lookup: TenantLookup

  constructor(sources: readonly TenantSource[], names: TenantNames, lookup: TenantLookup) {
    // A stable sort: those of a kind stay in the product's order.
    this.#sources = sources.toSorted((one, other) => Number(other.authenticates) - Number(one.authenticates))
    this.#names = names
    this.#lookup = lookup
  }

  /**
   * @throws FreeholdError `unauthenticated`, `token_expired`, `token_malformed`, `api_key_invalid`, `forbidden`,
   * `tenant_suspended`, `catalog_unavailable`, `identity_provider_unavailable`
   */
  async resolve(request: FastifyRequest, demand: Demand): Promise<Resolved> {
    if (isAmbiguous(request))
      throw refuse(request, [], 'a header was sent twice, or the host stands in the URL')
    const found: Found[] = []
    for (const source of this.#sources) {
      if (!source.authenticates) requireProof(found, demand)
      const finding = await source.find(request, this.#names)
      switch (finding.kind) {
        case 'tenant':
          found.push({ source, ...finding })
          break
        case 'unknown':
          throw refuse(request, [source], finding.reason)
        case 'absent':
          requirePresence(request, source, demand)
          break
        default:
          throw new Error(`${source.name} found ${finding satisfies never}`)
      }
    }
    requireProof(found, demand)
    return this.#agreed(request, found)
  }

  async #agreed(request: FastifyRequest, found: readonly Found[]): Promise<Resolved> {
    const [first] = found
    const sources = found.map(({ source }) => source)
    if (first === undefined) throw refuse(request, sources, 'no tenant is named')
    if (found.some(({ tenantId }) => tenantId !== first.tenantId)) {
      throw refuse(request, sources, 'sources disagree')
    }
    try {
      const tenant = await this.#lookup(first.tenantId)
      return { tenant, apiKey: found.find(({ apiKey }) => apiKey)?.apiKey ?? null }
    } catch (cause) {
      if (isFreeholdError(cause, 'tenant_suspended') && sources.some(({ authenticates }) => authenticates)) {
        throw new FreeholdError('tenant_suspended', undefined, { cause })
      }
      if (isFreeholdError(cause, 'tenant_not_found', 'tenant_suspended')) {
        throw refuse(request, sources, cause.code)
      }
      throw cause
    }
  }
}

/** The one refusal of whoever may not, or asks for what is not there. The reason is for the log alone. */
export function refuse(
  request: FastifyRequest,
  sources: readonly TenantSource[],
  reason: string,
): FreeholdError {
  request.log.info({ reason, sources: sources.map(({ name }) => name) }, 'The request opens no tenant.')
  return new FreeholdError('forbidden', 'The request opens no tenant.')
}

/** Where whoever passed the request on may have read it as another tenant's. */
function isAmbiguous({ raw, originalUrl }: FastifyRequest): boolean {
  if (!originalUrl.startsWith('/')) return true
  let hosts = 0
  let credentials = 0
  for (let at = 0; at < raw.rawHeaders.length; at += 2) {
    const name = raw.rawHeaders[at]?.toLowerCase()
    if (name === 'host' || name === ':authority') hosts++
    if (name === 'authorization') credentials++
  }
  return hosts > 1 || credentials > 1
}

function requireProof(found: readonly Found[], demand: Demand): void {
  if (demand === 'identified' || found.some(({ source }) => source.authenticates)) return
  throw new FreeholdError('unauthenticated')
}

function requirePresence(request: FastifyRequest, source: TenantSource, demand: Demand): void {
  if (!source.required) return
  if (!source.authenticates) throw refuse(request, [source], 'required and absent')
  if (demand === 'authenticated') throw new FreeholdError('unauthenticated')
}
