import { FreeholdError, type TenantId } from '@freehold/contract'
import { type DatabaseAddress, RecentMap } from '@freehold/postgres'
import { publishPlacementChanged } from '../events.ts'
import { Placement, sameAddress, sameRoute } from './placement.ts'
import type { PlacementChange, PlacementSource, Route } from './placement-source.ts'

const MAX_TENANTS = 100_000
const MAX_REFUSED = 10_000
/** How long "there is no such tenant" and "it is suspended" are believed. */
const REFUSED_MS = 1_000
/** How long a request waits for the catalog when it could go on with what was true before. */
const STALE_WAIT_MS = 500
const LOOKUP_TIMEOUT_MS = 5_000
/** How long the catalog is left alone after it failed, by requests that can go on without it. */
const CATALOG_REST_MS = 1_000

/** A generation that is never the current one. */
const OUT_OF_DATE = 0

interface Known {
  readonly placement: Placement
  /** The cache's generation when the look-up of this placement began. */
  readonly generation: number
}

interface Refusal {
  readonly code: 'tenant_not_found' | 'tenant_suspended'
  readonly until: number
}

/**
 * Where tenants live, as last heard. A hit is one look-up in a map. What is in here may be out of date at any time:
 * the data database checks the epoch, so an old placement costs a detour and nothing else. While the catalog is
 * down, tenants that are known keep being served.
 */
export class PlacementCache {
  readonly #source: PlacementSource
  readonly #entrySecret: string
  readonly #known = new RecentMap<string, Known>(MAX_TENANTS)
  readonly #refused = new RecentMap<string, Refusal>(MAX_REFUSED)
  readonly #lookups = new Map<string, Promise<Placement | Refusal>>()
  /** One address object a database instead of one a tenant. */
  readonly #addresses = new Map<string, DatabaseAddress>()
  /** Grows when everything may have changed. */
  #generation = 1
  #restUntil = 0

  constructor(source: PlacementSource, entrySecret: string) {
    this.#source = source
    this.#entrySecret = entrySecret
  }

  /** The placement, if it is known and nothing was heard against it. Allocates nothing. */
  peek(tenantId: TenantId): Placement | undefined {
    const known = this.#known.get(tenantId)
    return known?.generation === this.#generation ? known.placement : undefined
  }

  /**
   * @throws FreeholdError `tenant_not_found`, `tenant_suspended`; `catalog_unavailable` when the tenant is not
   * known here and the catalog does not answer.
   */
  async resolve(tenantId: TenantId): Promise<Placement> {
    const known = this.#known.get(tenantId)
    if (known?.generation === this.#generation) return known.placement
    if (known && Date.now() < this.#restUntil) return known.placement
    const refused = this.#refused.get(tenantId)
    if (refused && Date.now() < refused.until) throw refusal(refused, tenantId)
    return this.#ask(tenantId, known?.placement)
  }

  /**
   * Asks the catalog again because a placement has proved wrong or dead.
   *
   * @returns `tried` itself when the catalog knows nothing better or does not answer.
   */
  async reread(tried: Placement): Promise<Placement> {
    const { tenantId } = tried.route
    const current = this.peek(tenantId)
    return current && current !== tried ? current : this.#ask(tenantId, tried)
  }

  /** Forgets nothing, but asks again before the next use. */
  invalidate(change: PlacementChange): void {
    if (change === 'all') {
      this.#generation++
      this.#lookups.clear()
      this.#restUntil = 0
      return
    }
    const known = this.#known.get(change.tenantId)
    if (known) this.#known.set(change.tenantId, { placement: known.placement, generation: OUT_OF_DATE })
    this.#refused.delete(change.tenantId)
    this.#lookups.delete(change.tenantId)
  }

  /** @returns the placement, or `fallback` when there is one and the catalog gives no answer in time. */
  async #ask(tenantId: TenantId, fallback: Placement | undefined): Promise<Placement> {
    let answer: Placement | Refusal
    try {
      const lookup = this.#lookups.get(tenantId) ?? this.#startLookup(tenantId)
      answer = await within(fallback ? STALE_WAIT_MS : LOOKUP_TIMEOUT_MS, lookup)
    } catch (error) {
      this.#restUntil = Date.now() + CATALOG_REST_MS
      if (fallback) return fallback
      throw new FreeholdError('catalog_unavailable', undefined, { cause: error, retryAfterSeconds: 1 })
    }
    if (answer instanceof Placement) return answer
    throw refusal(answer, tenantId)
  }

  #startLookup(tenantId: TenantId): Promise<Placement | Refusal> {
    const generation = this.#generation
    const lookup = this.#lookup(tenantId, (placement) => {
      // Overtaken by a change while it was under way: good enough for those who wait for it, but not to be kept.
      const overtaken = this.#lookups.get(tenantId) !== lookup
      if (overtaken && this.peek(tenantId)) return
      this.#remember(tenantId, placement, overtaken ? OUT_OF_DATE : generation)
    })
    this.#lookups.set(tenantId, lookup)
    const done = () => {
      if (this.#lookups.get(tenantId) === lookup) this.#lookups.delete(tenantId)
    }
    lookup.then(done, done)
    return lookup
  }

  async #lookup(
    tenantId: TenantId,
    remember: (answer: Placement | Refusal) => void,
  ): Promise<Placement | Refusal> {
    const answer = this.#judge(tenantId, await this.#source.lookup(tenantId))
    remember(answer)
    return answer
  }

  #judge(tenantId: TenantId, route: Route | null): Placement | Refusal {
    if (!route) return { code: 'tenant_not_found', until: Date.now() + REFUSED_MS }
    if (route.status === 'suspended') return { code: 'tenant_suspended', until: Date.now() + REFUSED_MS }
    const before = this.#known.get(tenantId)?.placement
    if (before && sameRoute(before.route, route)) return before
    // The tenant that was asked for, whatever the source says: its id goes into the entry key.
    return new Placement({ ...route, tenantId, address: this.#sharedAddress(route) }, this.#entrySecret)
  }

  #remember(tenantId: TenantId, answer: Placement | Refusal, generation: number): void {
    if (!(answer instanceof Placement)) {
      this.#known.delete(tenantId)
      if (generation === this.#generation) this.#refused.set(tenantId, answer)
      return
    }
    const before = this.#known.get(tenantId)?.placement.route
    this.#known.set(tenantId, { placement: answer, generation })
    const to = answer.route
    if (before && before.epoch !== to.epoch) publishPlacementChanged({ tenantId, from: before, to })
  }

  #sharedAddress(route: Route): DatabaseAddress {
    const shared = this.#addresses.get(route.dataDatabaseId)
    if (shared && sameAddress(shared, route.address)) return shared
    this.#addresses.set(route.dataDatabaseId, route.address)
    return route.address
  }
}

function refusal({ code }: Refusal, tenantId: TenantId): FreeholdError {
  return new FreeholdError(code, undefined, { details: { tenant: tenantId } })
}

/** @throws Error when `work` takes longer; it is not stopped by that. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`The catalog did not answer within ${ms} ms.`)), ms)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
  }
}
