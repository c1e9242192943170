export type { CacheStore, EntryLimits, Found } from './cache-store.ts'
export { type MemoryStoreOptions, memoryStore } from './memory-store.ts'
export { type RedisStoreOptions, redisStore } from './redis-store.ts'
export {
  createTenantCache,
  type EntryOptions,
  type TenantCache,
  type TenantCacheOptions,
  type TenantEntries,
} from './tenant-cache.ts'
