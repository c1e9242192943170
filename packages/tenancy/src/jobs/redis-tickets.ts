import { tenantIdSchema } from '@freehold/contract'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import type { Line, Tickets } from './tickets.ts'

/** Between tenant and job; in neither. */
const SEPARATOR = '/'
const ids = z.array(z.string())

/** Tickets in Redis: for each tenant a list of parked jobs and a set of open ones, and all open ones by their age. */
export function redisTickets(client: Redis, prefix: string): Tickets {
  const keysOf = ({ queue, tenantId }: Pick<Line, 'queue' | 'tenantId'>) => [
    `${prefix}:${queue}:open`,
    `${prefix}:${queue}:open:${tenantId}`,
    `${prefix}:${queue}:parked:${tenantId}`,
  ]
  const run = (script: string, line: Line, ...rest: (string | number)[]) =>
    client.eval(COMMON + script, 3, ...keysOf(line), line.tenantId + SEPARATOR, line.share, ...rest)
  const registry = (pool: string) => `${prefix}:${pool}:queues`

  return {
    async count(line) {
      return z.int().parse(await run(COUNT, line))
    },
    async admit(line, jobIds) {
      return ids.parse(await run(ADMIT, line, ...jobIds))
    },
    async start(line, jobId) {
      return (await run(START, line, jobId)) === 1
    },
    async park(line, jobId) {
      return ids.parse(await run(PARK, line, jobId))
    },
    async finish(line, jobId) {
      return ids.parse(await run(FINISH, line, jobId))
    },
    async forgotten(queue, forMs, limit) {
      const found = ids.parse(await client.eval(FORGOTTEN, 1, `${prefix}:${queue}:open`, forMs, limit))
      return found.map((member) => {
        const [tenantId = '', jobId = ''] = member.split(SEPARATOR)
        return { tenantId: tenantIdSchema.parse(tenantId), jobId }
      })
    },
    async noteQueue(pool, queue) {
      await client.sadd(registry(pool), queue)
    },
    async forgetQueue(pool, queue) {
      await client.srem(registry(pool), queue)
    },
    async queues(pool) {
      return client.smembers(registry(pool))
    },
    async close() {},
  }
}

const COMMON = `
  local all, open, parked = KEYS[1], KEYS[2], KEYS[3]
  local tenant, share = ARGV[1], tonumber(ARGV[2])
  local clock = redis.call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  local function take(id)
    redis.call('SADD', open, id)
    redis.call('ZADD', all, now, tenant .. id)
  end
  local function give(id)
    redis.call('SREM', open, id)
    redis.call('ZREM', all, tenant .. id)
  end
  local function fill()
    local opened = {}
    while redis.call('SCARD', open) < share do
      local id = redis.call('LPOP', parked)
      if not id then break end
      take(id)
      table.insert(opened, id)
    end
    return opened
  end
`

const COUNT = `
  return redis.call('SCARD', open) + redis.call('LLEN', parked)
`

const ADMIT = `
  for index = 3, #ARGV do redis.call('RPUSH', parked, ARGV[index]) end
  return fill()
`

const START = `
  local id = ARGV[3]
  if redis.call('SISMEMBER', open, id) == 0 then
    if redis.call('SCARD', open) >= share then return 0 end
    redis.call('LREM', parked, 1, id)
  end
  take(id)
  return 1
`

const PARK = `
  local id = ARGV[3]
  give(id)
  redis.call('LREM', parked, 1, id)
  redis.call('LPUSH', parked, id)
  return fill()
`

const FINISH = `
  give(ARGV[3])
  return fill()
`

const FORGOTTEN = `
  local clock = redis.call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[2])
  for _, member in ipairs(found) do redis.call('ZADD', KEYS[1], now, member) end
  return found
`
