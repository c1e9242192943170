import { type Epoch, FreeholdError, type TenantId } from '@freehold/contract'
import { RecentMap } from '@freehold/postgres'
import { publishPlacementChanged } from '../events.ts'
import { Placement, sameRoute } from './placement.ts'
import { PlacementFactory } from './placement-factory.ts'
import type { ComingHome, PlacementChange, PlacementSource, Route, RoutePage } from './placement-source.ts'
import { SecondChanceMap } from './second-chance-map.ts'
import { within } from './within.ts'

const MAX_REFUSED = 10_000
const MAX_EXPECTED = 1_000
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
  generation: number
  used: boolean
  /** Where the tenant was expected, which the catalog has not said yet. */
  isExpected?: true
}

interface Refusal {
  readonly code: 'tenant_not_found' | 'tenant_suspended'
  readonly until: number
}

/** What the cache holds, and what has happened since it was made. */
export interface PlacementCounters {
  /** Tenants that are remembered. */
  cached: number
  /** Requests whose tenant was known. */
  hits: number
  /** Requests that waited for the catalog. */
  misses: number
  /** Requests of tenants that are remembered not to exist, or to be suspended. */
  negativeHits: number
  /** Requests served by what was known before, because the catalog did not answer. */
  staleServes: number
  /** Times that a data database refused a placement, or could not be reached, so that the catalog was asked again. */
  rereads: number
  /** Questions to the catalog; fewer than misses, as those who ask at the same time share one. */
  lookups: number
  /** Questions that the catalog did not answer. */
  lookupErrors: number
}

/**
 * Where tenants live, as last heard. A hit is one look-up in a map. What is in here may be out of date at any time:
 * the data database checks the epoch, so an old placement costs a detour and nothing else. While the catalog is
 * down, tenants that are known keep being served.
 */
export class PlacementCache {
  readonly #source: PlacementSource
  readonly #known: SecondChanceMap<Known>
  readonly #refused = new RecentMap<string, Refusal>(MAX_REFUSED)
  readonly #lookups = new Map<string, Promise<Placement | Refusal>>()
  /** Where tenants that are known will live next. */
  readonly #expected = new RecentMap<TenantId, ComingHome>(MAX_EXPECTED)
  readonly #factory: PlacementFactory
  /** Tenants that have changed while a page of routes was under way. */
  #changed: Set<TenantId> | undefined
  /** Grows when everything may have changed. */
  #generation = 1
  #restUntil = 0
  #hits = 0
  #misses = 0
  #negativeHits = 0
  #staleServes = 0
  #rereads = 0
  #lookupCount = 0
  #lookupErrors = 0

  constructor(source: PlacementSource, entrySecret: string, maxTenants: number) {
    this.#source = source
    this.#factory = new PlacementFactory(entrySecret)
    this.#known = new SecondChanceMap(maxTenants)
  }

  /** Whether one more tenant would take the place of another. */
  get isFull(): boolean {
    return this.#known.isFull
  }

  counters(): Readonly<PlacementCounters> {
    return {
      cached: this.#known.size,
      hits: this.#hits,
      misses: this.#misses,
      negativeHits: this.#negativeHits,
      staleServes: this.#staleServes,
      rereads: this.#rereads,
      lookups: this.#lookupCount,
      lookupErrors: this.#lookupErrors,
    }
  }

  /** Whether the tenant was asked for, be the answer out of date or not. */
  isKnown(tenantId: TenantId): boolean {
    return this.#known.get(tenantId) !== undefined
  }

  /** The placement, if it is known and nothing was heard against it. Allocates nothing. */
  peek(tenantId: TenantId): Placement | undefined {
    const known = this.#known.get(tenantId)
    if (known?.generation !== this.#generation) return undefined
    known.used = true
    this.#hits++
    return known.placement
  }

  /**
   * @throws FreeholdError `tenant_not_found`, `tenant_suspended`; `catalog_unavailable` when the tenant is not
   * known here and the catalog does not answer.
   */
  async resolve(tenantId: TenantId): Promise<Placement> {
    const hit = this.peek(tenantId)
    if (hit) return hit
    const known = this.#known.get(tenantId)
    if (known && Date.now() < this.#restUntil) {
      known.used = true
      this.#staleServes++
      return known.placement
    }
    const refused = this.#refused.get(tenantId)
    if (refused && Date.now() < refused.until) {
      this.#negativeHits++
      throw refusal(refused, tenantId)
    }
    this.#misses++
    return this.#ask(tenantId, known?.placement)
  }

  /**
   * Asks the catalog again because a placement has proved wrong or dead. One that is `dead`, as it cannot be reached, may still be
   * the tenant's; from one that has refused it, it has `left`, perhaps for where it was expected.
   *
   * @returns `tried` itself when the catalog knows nothing better or does not answer.
   */
  async reread(tried: Placement, it: 'left' | 'dead'): Promise<Placement> {
    const { tenantId } = tried.route
    this.#rereads++
    const known = this.#known.get(tenantId)
    const isCurrent = known?.generation === this.#generation && known.placement !== tried
    if (isCurrent) return known.placement
    const expected = it === 'left' ? this.#takeExpected(tenantId, tried.route.epoch + 1) : undefined
    return expected ?? this.#ask(tenantId, tried)
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
    if (known) known.generation = OUT_OF_DATE
    this.#changed?.add(change.tenantId)
    this.#refused.delete(change.tenantId)
    this.#lookups.delete(change.tenantId)
  }

  /**
   * Asks again at once, and goes on with what is known until there is an answer: for a tenant whose home is being changed, which
   * admits readers at either place meanwhile.
   */
  refresh(tenantId: TenantId): void {
    this.#lookups.delete(tenantId)
    this.#startLookup(tenantId).catch(() => this.invalidate({ tenantId }))
    this.#changed?.add(tenantId)
  }

  /**
   * Where a tenant will live next. It is used when the tenant has {@link arrived}, or is not where it was any more; should it not be
   * there either, the data database says so, and the catalog is asked.
   *
   * @param home undefined: that is not known any more.
   */
  expect(tenantId: TenantId, home: ComingHome | undefined): void {
    if (home === undefined) this.#expected.delete(tenantId)
    else this.#expected.set(tenantId, home)
  }

  /**
   * The tenant's home is that of this epoch.
   *
   * @returns whether that is what is known of it now, because it was, or was expected.
   */
  arrived(tenantId: TenantId, epoch: Epoch): boolean {
    const known = this.#known.get(tenantId)
    if (known === undefined) return false
    return known.placement.route.epoch >= epoch || this.#takeExpected(tenantId, epoch) !== undefined
  }

  /** Makes where a tenant was expected what is known of it, once, if that is at this epoch or later. */
  #takeExpected(tenantId: TenantId, earliest: number): Placement | undefined {
    const home = this.#expected.get(tenantId)
    const known = this.#known.get(tenantId)
    this.#expected.delete(tenantId)
    if (home === undefined || known === undefined || home.epoch < earliest) return undefined
    const placement = this.#factory.place({ ...known.placement.route, ...home })
    // What else was to be asked for is still.
    this.#put(placement, { generation: known.generation, isExpected: true })
    return placement
  }

  /**
   * Takes over a page of routes. Nothing that is known already, is being asked for or has changed meanwhile is
   * touched, and nobody loses a place to those who may never come.
   *
   * @returns how many routes were taken over, and where the next one begins.
   */
  async load(
    read: () => Promise<RoutePage>,
  ): Promise<{ readonly loaded: number; readonly next: string | undefined }> {
    const generation = this.#generation
    const changed = new Set<TenantId>()
    this.#changed = changed
    const { routes, next } = await read().finally(() => {
      this.#changed = undefined
    })
    let loaded = 0
    for (const route of routes) {
      const { tenantId, status } = route
      if (this.isFull) break
      if (status === 'suspended' || changed.has(tenantId) || this.#isHeardOf(tenantId)) continue
      this.#known.set(tenantId, { placement: this.#factory.place(route), generation, used: false })
      loaded++
    }
    return { loaded, next }
  }

  #isHeardOf(tenantId: TenantId): boolean {
    return (
      this.#known.get(tenantId) !== undefined ||
      this.#lookups.has(tenantId) ||
      this.#refused.get(tenantId) !== undefined
    )
  }

  /** @returns the placement, or `fallback` when there is one and the catalog gives no answer in time. */
  async #ask(tenantId: TenantId, fallback: Placement | undefined): Promise<Placement> {
    const lookup = this.#lookups.get(tenantId) ?? this.#startLookup(tenantId)
    let answer: Placement | Refusal
    try {
      answer = await within(fallback ? STALE_WAIT_MS : LOOKUP_TIMEOUT_MS, lookup)
    } catch (error) {
      this.#restUntil = Date.now() + CATALOG_REST_MS
      if (fallback) {
        this.#staleServes++
        return fallback
      }
      // It may never be answered; whoever comes next asks anew.
      if (this.#lookups.get(tenantId) === lookup) this.#lookups.delete(tenantId)
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
      if (overtaken && this.#known.get(tenantId)?.generation === this.#generation) return
      this.#remember(tenantId, placement, overtaken ? OUT_OF_DATE : generation)
    })
    this.#lookups.set(tenantId, lookup)
    const done = () => {
      if (this.#lookups.get(tenantId) === lookup) this.#lookups.delete(tenantId)
    }
    lookup.then(done, () => {
      this.#lookupErrors++
      done()
    })
    return lookup
  }

  async #lookup(
    tenantId: TenantId,
    remember: (answer: Placement | Refusal) => void,
  ): Promise<Placement | Refusal> {
    this.#lookupCount++
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
    return this.#factory.place({ ...route, tenantId })
  }

  #remember(tenantId: TenantId, answer: Placement | Refusal, generation: number): void {
    if (!(answer instanceof Placement)) {
      this.#known.delete(tenantId)
      if (generation === this.#generation) this.#refused.set(tenantId, answer)
      return
    }
    const before = this.#known.get(tenantId)
    if (before?.isExpected && answer.route.epoch < before.placement.route.epoch) {
      // Asked before the tenant came: what else it says may be news, so it is asked again.
      this.#known.set(tenantId, { placement: before.placement, generation: OUT_OF_DATE, used: false })
    } else {
      this.#put(answer, { generation })
    }
  }

  #put(placement: Placement, as: Pick<Known, 'generation' | 'isExpected'>): void {
    const { route: to } = placement
    const { tenantId } = to
    const from = this.#known.get(tenantId)?.placement.route
    this.#known.set(tenantId, { placement, used: false, ...as })
    if (from && from.epoch !== to.epoch) publishPlacementChanged({ tenantId, from, to })
  }
}

function refusal({ code }: Refusal, tenantId: TenantId): FreeholdError {
  return new FreeholdError(code, undefined, { details: { tenant: tenantId } })
}
