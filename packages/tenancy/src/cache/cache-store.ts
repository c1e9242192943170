import type { TenantId } from '@freehold/contract'

/** How long an entry lives and how much room its tenant has. */
export interface EntryLimits {
  readonly ttlMs: number
  /** Bytes of all of the tenant's entries and leases: keys, values and {@link ENTRY_OVERHEAD_BYTES} for each. */
  readonly maxBytes: number
}

/** The value, or the right to put one: see {@link CacheStore.lease}. */
export type Found = { readonly value: string } | { readonly lease: string }

/**
 * Where entries are kept. A store keeps each tenant's entries apart, so that no key of one can be a key of another's,
 * a flush is of one tenant, and what is evicted for one tenant's sake is that tenant's least recently used.
 */
export interface CacheStore {
  get(tenantId: TenantId, key: string): Promise<string | undefined>

  /**
   * The value, or a lease to put one. A lease ends when the key is set, deleted or flushed, so that what was read
   * before a change is not kept after it. (Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013.) Those who ask
   * while a lease is out get the same one.
   *
   * Leases are entries like others: they take room, and what was used longest ago gives way. A lease that is gone only
   * means that what is loaded with it is not kept.
   */
  lease(tenantId: TenantId, key: string, limits: Pick<EntryLimits, 'maxBytes'>): Promise<Found>

  /** Ends a lease with which nothing will be put. */
  giveUp(tenantId: TenantId, key: string, lease: string): Promise<void>

  /**
   * @param lease puts the value only if this lease still holds.
   * @returns whether the value was kept: not without its lease, and not if it alone is larger than the tenant's room.
   */
  set(tenantId: TenantId, key: string, value: string, limits: EntryLimits, lease?: string): Promise<boolean>

  delete(tenantId: TenantId, key: string): Promise<void>

  /** Drops everything of one tenant, in constant time for whoever else uses the store. */
  flush(tenantId: TenantId): Promise<void>
}

/** What an entry costs beyond its key and its value, roughly. */
export const ENTRY_OVERHEAD_BYTES = 64

/** How long whoever has a lease may take. */
export const LEASE_MS = 60_000
