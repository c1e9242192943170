import type { Host, Slug, TenantId } from '@freehold/contract'
import type { PlacementChange } from '../../placement/placement-source.ts'
import { Subscription } from '../../placement/subscription.ts'
import { NameCache } from './name-cache.ts'
import type { KnownApiKey, TenantDirectory, TenantNames } from './tenant-directory.ts'

const FRESH_MS = 60_000
/** How long a revoked key may go on being good where the announcement of its end has been missed. */
const API_KEY_FRESH_MS = 30_000

/**
 * A directory with a memory. While the directory is away, slugs and hosts go on meaning what they meant: they
 * authenticate nobody. An API key does, so one that can no longer be checked is refused.
 */
export class CachedDirectory implements TenantNames {
  readonly #slugs: NameCache<Slug, TenantId>
  readonly #hosts: NameCache<Host, TenantId>
  readonly #apiKeys: NameCache<string, KnownApiKey>
  readonly #subscription: Subscription

  constructor(directory: TenantDirectory) {
    const name = { tenantOf: (id: TenantId) => id, freshMs: FRESH_MS, servesStale: true }
    this.#slugs = new NameCache({ ...name, lookup: (slug) => directory.tenantOfSlug(slug) })
    this.#hosts = new NameCache({ ...name, lookup: (host) => directory.tenantOfHost(host) })
    this.#apiKeys = new NameCache({
      lookup: (prefix) => directory.apiKey(prefix),
      tenantOf: ({ tenantId }) => tenantId,
      freshMs: API_KEY_FRESH_MS,
      servesStale: false,
    })
    this.#subscription = new Subscription(directory, (change) => this.#changed(change))
  }

  tenantOfSlug(slug: Slug): Promise<TenantId | null> {
    return this.#slugs.get(slug)
  }

  tenantOfHost(host: Host): Promise<TenantId | null> {
    return this.#hosts.get(host)
  }

  apiKey(prefix: string): Promise<KnownApiKey | null> {
    return this.#apiKeys.get(prefix)
  }

  close(): Promise<void> {
    return this.#subscription.close()
  }

  #changed(change: PlacementChange): void {
    for (const names of [this.#slugs, this.#hosts, this.#apiKeys]) names.invalidate(change)
  }
}
