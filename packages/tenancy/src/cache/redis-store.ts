import { createHash, randomUUID } from 'node:crypto'
import type { TenantId } from '@freehold/contract'
import type { Cluster, Redis } from 'ioredis'
import { z } from 'zod'
import { type CacheStore, ENTRY_OVERHEAD_BYTES, LEASE_MS } from './cache-store.ts'

export interface RedisStoreOptions {
  /** Begins every key; `freehold-cache` unless set. */
  readonly prefix?: string
}

/**
 * Keeps entries in Redis (6 or later, or a cluster), shared by all processes. All that belongs to a tenant is in four
 * keys that end in its id, of which no two tenants have the same: values, last use, expiry and their bytes. So no key
 * of a product can reach another tenant's, and a flush unlinks four keys.
 *
 * The connection stays the product's, which closes it. Do not give it a `keyPrefix`.
 *
 * @example
 * ```ts
 * const cache = createTenantCache({ router, stores: { 'eu-central': redisStore(new Redis(config.REDIS_URL)) } })
 * ```
 */
export function redisStore(
  client: Redis | Cluster,
  { prefix = 'freehold-cache' }: RedisStoreOptions = {},
): CacheStore {
  // The braces keep the four on one node of a cluster. An id holds neither braces nor colons.
  const keys = (tenantId: TenantId) =>
    ['values', 'used', 'expiry', 'bytes'].map((k) => `${prefix}:{${tenantId}}:${k}`)
  const run = async (script: Script, tenantId: TenantId, ...args: (string | number)[]) =>
    evaluate(client, script, keys(tenantId), args)

  return {
    async get(tenantId, key) {
      return (
        z
          .string()
          .nullable()
          .parse(await run(GET, tenantId, key)) ?? undefined
      )
    },

    async lease(tenantId, key, { maxBytes }) {
      const [kind, text] = z
        .tuple([z.string(), z.string()])
        .parse(await run(LEASE, tenantId, key, randomUUID(), LEASE_MS, maxBytes))
      return kind === 'V' ? { value: text } : { lease: text }
    },

    async giveUp(tenantId, key, lease) {
      await run(GIVE_UP, tenantId, key, lease)
    },

    async set(tenantId, key, value, { ttlMs, maxBytes }, lease = '') {
      return (await run(SET, tenantId, key, value, ttlMs, maxBytes, lease)) === 1
    },

    async delete(tenantId, key) {
      await run(DELETE, tenantId, key)
    },

    async flush(tenantId) {
      await client.unlink(...keys(tenantId))
    },
  }
}

interface Script {
  readonly text: string
  readonly sha: string
}

/**
 * A value begins with V, a lease with L. Redis's clock counts, in microseconds. A server that evicts keys by itself may
 * have taken one of the four: the others are worth nothing then, and would be counted wrongly.
 */
const COMMON = `
  local values, used, expiry, bytes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
  local key = ARGV[1]
  local clock = redis.call('TIME')
  local now = clock[1] * 1000000 + clock[2]
  local left = redis.call('EXISTS', unpack(KEYS))
  if left > 0 and left < #KEYS then redis.call('UNLINK', unpack(KEYS)) end
  local function drop(k)
    local length = redis.call('HSTRLEN', values, k)
    if redis.call('HDEL', values, k) == 1 then
      redis.call('DECRBY', bytes, #k + length - 1 + ${ENTRY_OVERHEAD_BYTES})
    end
    redis.call('ZREM', used, k)
    redis.call('ZREM', expiry, k)
  end
  local function find(k)
    local entry = redis.call('HGET', values, k)
    if not entry then return nil end
    if tonumber(redis.call('ZSCORE', expiry, k) or 0) <= now then
      drop(k)
      return nil
    end
    return entry
  end
  local function put(k, entry, ttlMs)
    redis.call('HSET', values, k, entry)
    redis.call('ZADD', used, now, k)
    redis.call('ZADD', expiry, now + ttlMs * 1000, k)
    redis.call('INCRBY', bytes, #k + #entry - 1 + ${ENTRY_OVERHEAD_BYTES})
    for _, name in ipairs(KEYS) do
      if redis.call('PTTL', name) < ttlMs then redis.call('PEXPIRE', name, ttlMs) end
    end
  end
  local function dropExpired()
    for _, old in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, 100)) do drop(old) end
  end
  local function makeRoom(maxBytes)
    while tonumber(redis.call('GET', bytes)) > maxBytes do
      local oldest = redis.call('ZRANGE', used, 0, 0)[1]
      if not oldest then break end
      drop(oldest)
    end
  end
`

const GET = script(`
  local entry = find(key)
  if not entry or string.sub(entry, 1, 1) == 'L' then return false end
  redis.call('ZADD', used, now, key)
  return string.sub(entry, 2)
`)

const LEASE = script(`
  local entry = find(key)
  if entry then
    redis.call('ZADD', used, now, key)
  else
    dropExpired()
    entry = 'L' .. ARGV[2]
    put(key, entry, tonumber(ARGV[3]))
    makeRoom(tonumber(ARGV[4]))
  end
  return {string.sub(entry, 1, 1), string.sub(entry, 2)}
`)

const SET = script(`
  local value, ttlMs, maxBytes, lease = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
  dropExpired()
  if lease ~= '' and redis.call('HGET', values, key) ~= 'L' .. lease then return 0 end
  drop(key)
  if #key + #value + ${ENTRY_OVERHEAD_BYTES} > maxBytes then return 0 end
  put(key, 'V' .. value, ttlMs)
  makeRoom(maxBytes)
  return 1
`)

const GIVE_UP = script(`
  if redis.call('HGET', values, key) == 'L' .. ARGV[2] then drop(key) end
`)

const DELETE = script('drop(key)')

function script(body: string): Script {
  const text = COMMON + body
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

async function evaluate(
  client: Redis | Cluster,
  { text, sha }: Script,
  keys: string[],
  args: (string | number)[],
): Promise<unknown> {
  try {
    return await client.evalsha(sha, keys.length, ...keys, ...args)
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return client.eval(text, keys.length, ...keys, ...args)
  }
}
