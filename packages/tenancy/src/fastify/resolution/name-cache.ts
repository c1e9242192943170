import { FreeholdError, type TenantId } from '@freehold/contract'
import { RecentMap } from '@freehold/postgres'
import type { PlacementChange } from '../../placement/placement-source.ts'

const MAX_NAMES = 10_000
const MAX_UNKNOWN = 10_000
/** How long "there is no such name" is believed. */
const UNKNOWN_MS = 1_000
const LOOKUP_TIMEOUT_MS = 5_000
/** How long a request waits for the directory when it could go on with what was true before. */
const STALE_WAIT_MS = 500
/** How long the directory is left alone after it failed, by requests that can go on without it. */
const REST_MS = 1_000

export interface NameCacheOptions<N extends string, V> {
  readonly lookup: (name: N) => Promise<V | null>
  readonly tenantOf: (value: V) => TenantId
  /** After how long a name is asked for again though nothing was heard against it. */
  readonly freshMs: number
  /** Whether what was true goes on being used while the directory is away. */
  readonly servesStale: boolean
  readonly maxNames?: number
}

interface Known<V> {
  readonly value: V
  freshUntil: number
}

/**
 * What names mean, as last heard: bounded, concurrent misses asked once, and unknown names remembered briefly and
 * apart, so that a flood of made-up names drives out no real one.
 */
export class NameCache<N extends string, V extends NonNullable<unknown>> {
  readonly #options: NameCacheOptions<N, V>
  /** In the order of use, the least recent first. */
  readonly #known = new Map<N, Known<V>>()
  readonly #namesOf = new Map<TenantId, Set<N>>()
  #unknown = new RecentMap<N, number>(MAX_UNKNOWN)
  readonly #lookups = new Map<N, Promise<V | null>>()
  #restUntil = 0

  constructor(options: NameCacheOptions<N, V>) {
    this.#options = options
  }

  /**
   * @returns null for a name that means nothing.
   * @throws FreeholdError `catalog_unavailable`
   */
  async get(name: N): Promise<V | null> {
    const now = Date.now()
    const known = this.#known.get(name)
    if (known && (now < known.freshUntil || (now < this.#restUntil && this.#options.servesStale))) {
      this.#known.delete(name)
      this.#known.set(name, known)
      return known.value
    }
    const unknownUntil = this.#unknown.get(name)
    if (unknownUntil !== undefined && now < unknownUntil) return null
    return this.#ask(name, this.#options.servesStale ? known : undefined)
  }

  /** Asks again before the next use of what the change may be about. */
  invalidate(change: PlacementChange): void {
    // A name may have come to be, and what is being asked for may be answered with what was before.
    this.#unknown = new RecentMap(MAX_UNKNOWN)
    this.#lookups.clear()
    if (change === 'all') {
      this.#restUntil = 0
      for (const known of this.#known.values()) known.freshUntil = 0
      return
    }
    for (const name of this.#namesOf.get(change.tenantId) ?? []) {
      const known = this.#known.get(name)
      if (known) known.freshUntil = 0
    }
  }

  async #ask(name: N, stale: Known<V> | undefined): Promise<V | null> {
    try {
      const lookup = this.#lookups.get(name) ?? this.#startLookup(name)
      return await within(stale ? STALE_WAIT_MS : LOOKUP_TIMEOUT_MS, lookup)
    } catch (cause) {
      this.#restUntil = Date.now() + REST_MS
      if (stale) return stale.value
      throw new FreeholdError('catalog_unavailable', undefined, { cause, retryAfterSeconds: 1 })
    }
  }

  #startLookup(name: N): Promise<V | null> {
    const lookup = this.#options.lookup(name)
    this.#lookups.set(name, lookup)
    lookup.then(
      (value) => {
        // Overtaken by a change: good enough for those who wait for it, but not to be kept.
        if (this.#lookups.get(name) !== lookup) return
        this.#lookups.delete(name)
        this.#remember(name, value)
      },
      () => {
        if (this.#lookups.get(name) === lookup) this.#lookups.delete(name)
      },
    )
    return lookup
  }

  #remember(name: N, value: V | null): void {
    this.#forget(name)
    if (value === null) {
      this.#unknown.set(name, Date.now() + UNKNOWN_MS)
      return
    }
    this.#known.set(name, { value, freshUntil: Date.now() + this.#options.freshMs })
    const tenantId = this.#options.tenantOf(value)
    const names = this.#namesOf.get(tenantId) ?? new Set()
    this.#namesOf.set(tenantId, names.add(name))
    const [oldest] = this.#known.keys()
    if (oldest !== undefined && this.#known.size > (this.#options.maxNames ?? MAX_NAMES)) this.#forget(oldest)
  }

  #forget(name: N): void {
    const known = this.#known.get(name)
    if (!known) return
    this.#known.delete(name)
    const tenantId = this.#options.tenantOf(known.value)
    const names = this.#namesOf.get(tenantId)
    names?.delete(name)
    if (names?.size === 0) this.#namesOf.delete(tenantId)
  }
}

/** @throws Error when `work` takes longer; it is not stopped by that. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`The directory did not answer within ${ms} ms.`)), ms)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
  }
}
