import { randomUUID } from 'node:crypto'
import type { TenantId } from '@freehold/contract'
import { LRUCache } from 'lru-cache'
import {
  type CacheStore,
  ENTRY_OVERHEAD_BYTES,
  type EntryLimits,
  type Found,
  LEASE_MS,
} from './cache-store.ts'

export interface MemoryStoreOptions {
  /** Bytes of all tenants together; 256 MiB unless set. */
  readonly maxBytes?: number
}

const DEFAULT_MAX_BYTES = 256 * 2 ** 20
/** What a tenant costs before it has any entry. */
const TENANT_OVERHEAD_BYTES = 2_048
/** How much is freed at a time when there is too much, as a part of the whole. */
const SHED_PART = 1 / 64

type Entry = { readonly value: string } | { readonly lease: string }

interface TenantEntries {
  readonly entries: LRUCache<string, Entry>
  readonly maxBytes: number
}

/**
 * Keeps entries in the memory of this process. Each tenant has a list of its own; when all together become too large,
 * the tenant that has most gives way, so one tenant's flood evicts nobody else.
 *
 * @example
 * ```ts
 * const cache = createTenantCache({ router, stores: { 'eu-central': memoryStore() } })
 * ```
 */
export function memoryStore({ maxBytes = DEFAULT_MAX_BYTES }: MemoryStoreOptions = {}): CacheStore {
  return new MemoryStore(maxBytes)
}

class MemoryStore implements CacheStore {
  readonly #tenants = new Map<TenantId, TenantEntries>()
  readonly #maxBytes: number
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  async get(tenantId: TenantId, key: string): Promise<string | undefined> {
    const entry = this.#tenants.get(tenantId)?.entries.get(key)
    return entry && 'value' in entry ? entry.value : undefined
  }

  async lease(tenantId: TenantId, key: string, { maxBytes }: Pick<EntryLimits, 'maxBytes'>): Promise<Found> {
    const known = this.#tenants.get(tenantId)?.entries.get(key)
    if (known) return known
    const entry = { lease: randomUUID() }
    this.#put(tenantId, key, entry, LEASE_MS, maxBytes)
    return entry
  }

  async giveUp(tenantId: TenantId, key: string, lease: string): Promise<void> {
    if (this.#holds(tenantId, key, lease)) this.#drop(tenantId, key)
  }

  async set(
    tenantId: TenantId,
    key: string,
    value: string,
    { ttlMs, maxBytes }: EntryLimits,
    lease?: string,
  ): Promise<boolean> {
    if (lease !== undefined && !this.#holds(tenantId, key, lease)) return false
    this.#drop(tenantId, key)
    const entry = { value }
    if (bytesOf(entry, key) > maxBytes) return false
    this.#put(tenantId, key, entry, ttlMs, maxBytes)
    return true
  }

  async delete(tenantId: TenantId, key: string): Promise<void> {
    this.#drop(tenantId, key)
  }

  async flush(tenantId: TenantId): Promise<void> {
    const tenant = this.#tenants.get(tenantId)
    if (!tenant) return
    this.#tenants.delete(tenantId)
    this.#bytes -= tenant.entries.calculatedSize + TENANT_OVERHEAD_BYTES
  }

  #holds(tenantId: TenantId, key: string, lease: string): boolean {
    const known = this.#tenants.get(tenantId)?.entries.get(key)
    return known !== undefined && 'lease' in known && known.lease === lease
  }

  #put(tenantId: TenantId, key: string, entry: Entry, ttlMs: number, maxBytes: number): void {
    const { entries } = this.#tenantWithRoom(tenantId, maxBytes)
    const before = entries.calculatedSize
    entries.set(key, entry, { ttl: ttlMs })
    this.#bytes += entries.calculatedSize - before
    while (this.#bytes > this.#maxBytes) this.#shed()
  }

  #drop(tenantId: TenantId, key: string): void {
    const entries = this.#tenants.get(tenantId)?.entries
    if (!entries) return
    const before = entries.calculatedSize
    entries.delete(key)
    this.#bytes += entries.calculatedSize - before
  }

  /** A tenant whose tier has changed takes along what fits. */
  #tenantWithRoom(tenantId: TenantId, maxBytes: number): TenantEntries {
    const known = this.#tenants.get(tenantId)
    if (known?.maxBytes === maxBytes) return known
    const entries = new LRUCache<string, Entry>({ maxSize: maxBytes, sizeCalculation: bytesOf })
    if (known) entries.load(known.entries.dump())
    else this.#bytes += TENANT_OVERHEAD_BYTES
    this.#bytes += entries.calculatedSize - (known?.entries.calculatedSize ?? 0)
    const tenant = { entries, maxBytes }
    this.#tenants.set(tenantId, tenant)
    return tenant
  }

  #shed(): void {
    let largest: [TenantId, TenantEntries] | undefined
    for (const tenant of this.#tenants) {
      if (!largest || tenant[1].entries.calculatedSize > largest[1].entries.calculatedSize) largest = tenant
    }
    if (!largest) return
    const [tenantId, { entries }] = largest
    const before = entries.calculatedSize
    const target = before - this.#maxBytes * SHED_PART
    while (entries.size > 0 && entries.calculatedSize > target) entries.pop()
    this.#bytes += entries.calculatedSize - before
    if (entries.size > 0) return
    this.#tenants.delete(tenantId)
    this.#bytes -= TENANT_OVERHEAD_BYTES
  }
}

function bytesOf(entry: Entry, key: string): number {
  const text = 'value' in entry ? entry.value : entry.lease
  return Buffer.byteLength(key) + Buffer.byteLength(text) + ENTRY_OVERHEAD_BYTES
}
