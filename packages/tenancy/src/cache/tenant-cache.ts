import { FreeholdError, type RegionId, type TenantId, textSchema } from '@freehold/contract'
import { RecentMap } from '@freehold/postgres'
import type { z } from 'zod'
import { ofRegion } from '../context/of-region.ts'
import { assertNotAnother, currentTenant, type FreeholdDatabase } from '../context/tenant-context.ts'
import type { Tenant } from '../placement/placement.ts'
import type { Router } from '../router.ts'
import type { CacheStore, EntryLimits, Found } from './cache-store.ts'

export interface TenantCacheOptions {
  readonly router: Pick<Router<FreeholdDatabase>, 'tenant'>
  /**
   * A store for each region in which tenants live, by the region's id. A tenant's entries are kept in its region's
   * store and nowhere else; two regions of one jurisdiction may name the same store.
   */
  readonly stores: Readonly<Record<string, CacheStore>>
  /** How long an entry lives unless it says otherwise, in ms; 60,000 unless set. */
  readonly ttlMs?: number
  /** Bytes a tenant may fill, by tier; `default` for every other tier, 1 MiB unless set. */
  readonly quotaBytes?: Readonly<Record<string, number>>
  /** How long a store may take, in ms, before it counts as away; 250 unless set. */
  readonly patienceMs?: number
  /** Told of stores that fail; the cache goes on without them. */
  readonly onError?: (error: unknown) => void
}

export interface EntryOptions<T> {
  readonly ttlMs?: number
  /** What a value must be. What is found in the store and is not so counts as not found. */
  readonly schema?: z.ZodType<T>
}

/**
 * The cache of one tenant. Values are JSON, so what comes back is what JSON makes of it, cached or not. A store that
 * is away is a cache that is empty; only deleting and flushing fail then, because somebody relies on them.
 *
 * Everything fails with FreeholdError `invalid_request` for a key that is no text of 1 to 512 characters,
 * `region_not_served` when the tenant's region has no store, and as {@link Router.tenant} does.
 */
export interface TenantEntries {
  /** @returns undefined when there is none, or none that fits the schema. */
  get(key: string): Promise<unknown>
  get<T>(key: string, schema: z.ZodType<T>): Promise<T | undefined>
  /** @returns whether it was kept: not if it is larger than the tenant's quota, or if the store is away. */
  set(key: string, value: unknown, options?: Pick<EntryOptions<unknown>, 'ttlMs'>): Promise<boolean>
  /**
   * The cached value, or the loaded one, which is then cached. Those who ask in this process while it is being loaded
   * wait for the same load. What was loaded before a delete or flush is not kept after it.
   *
   * @throws whatever `load` throws, and `ZodError` when what it returns does not fit the schema.
   */
  getOrSet(key: string, load: () => Promise<unknown>, options?: EntryOptions<never>): Promise<unknown>
  getOrSet<T>(key: string, load: () => Promise<unknown>, options: EntryOptions<T>): Promise<T>
  /** @throws FreeholdError `cache_unavailable` */
  delete(key: string): Promise<void>
  /** Drops all entries of this tenant, and of no other. @throws FreeholdError `cache_unavailable` */
  flush(): Promise<void>
}

/** The cache of the tenant as whom the code runs; every method throws `tenant_context_missing` when there is none. */
export interface TenantCache extends TenantEntries {
  /** The cache of a tenant, from outside. @throws FreeholdError `tenant_fixed` inside another tenant's context. */
  forTenant(tenantId: string): TenantEntries
}

const DEFAULT_TTL_MS = 60_000
const DEFAULT_QUOTA_BYTES = 2 ** 20
const DEFAULT_PATIENCE_MS = 250
const MAX_TENANTS = 100_000
const keySchema = textSchema.min(1).max(512)

/**
 * A cache in which every tenant has its own entries, its own quota, and its own region's store.
 *
 * @example
 * ```ts
 * const cache = createTenantCache({
 *   router,
 *   stores: { 'eu-central': redisStore(europe), 'us-east': redisStore(america) },
 *   quotaBytes: { default: 1_000_000, enterprise: 50_000_000 },
 * })
 * const rates = await cache.getOrSet('rates', () => loadRates(), { schema: ratesSchema, ttlMs: 300_000 })
 * ```
 */
export function createTenantCache(options: TenantCacheOptions): TenantCache {
  const shared = new SharedCache(options)
  return Object.assign(new Entries(shared, () => currentTenant().tenant.id), {
    forTenant: (tenantId: string) => new Entries(shared, () => tenantId),
  })
}

/** Where a tenant's entries are now. */
interface Home {
  readonly tenantId: TenantId
  readonly store: CacheStore
  readonly maxBytes: number
}

class SharedCache {
  readonly #options: TenantCacheOptions
  /** In which region each tenant was last seen. */
  readonly #regions = new RecentMap<TenantId, RegionId>(MAX_TENANTS)
  /** What is being loaded, as JSON. */
  readonly #loads = new Map<TenantId, Map<string, Promise<string | undefined>>>()

  constructor(options: TenantCacheOptions) {
    this.#options = options
  }

  /** Always the tenant of now: it may have moved since the context was made. */
  async home(tenantId: string): Promise<Home> {
    const tenant = await this.#options.router.tenant(tenantId)
    assertNotAnother(tenant.id)
    const store = ofRegion(this.#options.stores, tenant, 'cache store')
    await this.#leaveBehind(tenant, store)
    const { quotaBytes = {} } = this.#options
    const ofTier = Object.hasOwn(quotaBytes, tenant.tier) ? quotaBytes[tenant.tier] : undefined
    const maxBytes = ofTier ?? quotaBytes.default ?? DEFAULT_QUOTA_BYTES
    return { tenantId: tenant.id, store, maxBytes }
  }

  limits({ maxBytes }: Home, ttlMs = this.#options.ttlMs ?? DEFAULT_TTL_MS): EntryLimits {
    return { ttlMs, maxBytes }
  }

  /** The store's answer; undefined when it fails or takes too long. */
  async ask<T>(answer: Promise<T>): Promise<T | undefined> {
    try {
      return await this.within(answer)
    } catch (error) {
      this.#options.onError?.(error)
      return undefined
    }
  }

  /** @throws FreeholdError `cache_unavailable` */
  async insist(answer: Promise<void>): Promise<void> {
    try {
      await this.within(answer)
    } catch (cause) {
      throw new FreeholdError('cache_unavailable', undefined, { cause, retryAfterSeconds: 1 })
    }
  }

  async within<T>(answer: Promise<T>): Promise<T> {
    const ms = this.#options.patienceMs ?? DEFAULT_PATIENCE_MS
    const { promise: tooLate, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => reject(new Error(`The store did not answer within ${ms} ms.`)), ms)
    try {
      return await Promise.race([answer, tooLate])
    } finally {
      clearTimeout(timer)
    }
  }

  /** One load of a key at a time in this process. */
  loadOnce(
    { tenantId }: Home,
    key: string,
    load: () => Promise<string | undefined>,
  ): Promise<string | undefined> {
    const loads = this.#loads.get(tenantId) ?? new Map<string, Promise<string | undefined>>()
    const known = loads.get(key)
    if (known) return known
    const loading = load().finally(() => {
      if (loads.get(key) !== loading) return
      loads.delete(key)
      if (loads.size === 0 && this.#loads.get(tenantId) === loads) this.#loads.delete(tenantId)
    })
    loads.set(key, loading)
    this.#loads.set(tenantId, loads)
    return loading
  }

  /** Whoever asks from now on does not get what was loaded before. */
  forgetLoads({ tenantId }: Home, key?: string): void {
    if (key === undefined) this.#loads.delete(tenantId)
    else this.#loads.get(tenantId)?.delete(key)
  }

  /** A tenant that has moved to another region leaves nothing in the old one that this process knows of. */
  async #leaveBehind({ id, region }: Tenant, store: CacheStore): Promise<void> {
    const before = this.#regions.get(id)
    if (before === region) return
    this.#regions.set(id, region)
    const old = before && this.#options.stores[before]
    if (old && old !== store) await this.ask(old.flush(id))
  }
}

class Entries implements TenantEntries {
  readonly #shared: SharedCache
  readonly #whose: () => string

  constructor(shared: SharedCache, whose: () => string) {
    this.#shared = shared
    this.#whose = whose
  }

  async get<T>(key: string, schema?: z.ZodType<T>): Promise<T | undefined> {
    const { tenantId, store } = await this.#at(key)
    return decode(await this.#shared.ask(store.get(tenantId, key)), schema)
  }

  async set(
    key: string,
    value: unknown,
    options: Pick<EntryOptions<unknown>, 'ttlMs'> = {},
  ): Promise<boolean> {
    const home = await this.#at(key)
    const json = encode(value)
    if (json === undefined) throw invalid('value', 'must be a value that JSON can express')
    this.#shared.forgetLoads(home, key)
    const limits = this.#shared.limits(home, options.ttlMs)
    return (await this.#shared.ask(home.store.set(home.tenantId, key, json, limits))) ?? false
  }

  async getOrSet<T>(
    key: string,
    load: () => Promise<unknown>,
    options: EntryOptions<T> = {},
  ): Promise<T | undefined> {
    const home = await this.#at(key)
    const { tenantId, store } = home
    const found = await this.#shared.ask(store.lease(tenantId, key, home))
    if (found && 'value' in found) {
      const value = decode(found.value, options.schema)
      if (value !== undefined) return value
    }
    const json = await this.#shared.loadOnce(home, key, () =>
      this.#load(home, key, load, found, options.ttlMs),
    )
    const value: unknown = json === undefined ? undefined : JSON.parse(json)
    return options.schema ? options.schema.parse(value) : (value as T | undefined)
  }

  /** What is loaded, which is then kept. Over a value that does not fit there is no lease: it is replaced. */
  async #load(
    home: Home,
    key: string,
    load: () => Promise<unknown>,
    found: Found | undefined,
    ttlMs: number | undefined,
  ): Promise<string | undefined> {
    const { tenantId, store } = home
    const lease = found && 'lease' in found ? found.lease : undefined
    let loaded: string | undefined
    try {
      loaded = encode(await load())
    } finally {
      if (loaded === undefined && lease !== undefined)
        await this.#shared.ask(store.giveUp(tenantId, key, lease))
    }
    if (loaded !== undefined && found) {
      await this.#shared.ask(store.set(tenantId, key, loaded, this.#shared.limits(home, ttlMs), lease))
    }
    return loaded
  }

  async delete(key: string): Promise<void> {
    const home = await this.#at(key)
    this.#shared.forgetLoads(home, key)
    await this.#shared.insist(home.store.delete(home.tenantId, key))
  }

  async flush(): Promise<void> {
    const home = await this.#shared.home(this.#whose())
    this.#shared.forgetLoads(home)
    await this.#shared.insist(home.store.flush(home.tenantId))
  }

  async #at(key: string): Promise<Home> {
    const whose = this.#whose()
    if (!keySchema.safeParse(key).success) throw invalid('key', 'must be text of 1 to 512 characters')
    return this.#shared.home(whose)
  }
}

/** @returns undefined for what JSON has no word for. */
function encode(value: unknown): string | undefined {
  return JSON.stringify(value)
}

function decode<T>(json: string | undefined, schema: z.ZodType<T> | undefined): T | undefined {
  if (json === undefined) return undefined
  const value: unknown = JSON.parse(json)
  if (!schema) return value as T
  const parsed = schema.safeParse(value)
  return parsed.success ? parsed.data : undefined
}

function invalid(path: string, message: string): FreeholdError {
  return new FreeholdError('invalid_request', `${path} ${message}.`, { issues: [{ path, message }] })
}
