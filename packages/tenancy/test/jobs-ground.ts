import { randomUUID } from 'node:crypto'
import { regionIdSchema, type TenantId, tierIdSchema } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { currentTenant, type FreeholdDatabase, type Route, type Router } from '@freehold/tenancy'
import {
  type QueueLocation,
  type TenantJob,
  type TenantQueue,
  type TenantQueueOptions,
  type TenantWorker,
  type TenantWorkerOptions,
  tenantQueue,
  tenantWorker,
} from '@freehold/tenancy/jobs'
import type { Test } from 'tap'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { startTestRedis } from '../../../test/kit/redis.ts'
import { createItemsDatabase, newTenantId, setResident } from '../../../test/kit/tenants.ts'
import { prepareRouterGround, type RouterGround } from './router-ground.ts'

/** For the flood, on a busy machine. */
export const TIMEOUT_MS = 300_000
export const east = regionIdSchema.parse('us-east')

interface Server {
  readonly location: QueueLocation
  /** All jobs that it holds, as text. */
  contents(): Promise<string>
}

/** What is asked of both backends, and how much each of them is asked. */
interface Kind {
  readonly flood: number
  start(): Promise<Server>
}

/** Queues and workers over one server. */
interface Jobs {
  readonly here: Server
  newName(): string
  /** A queue that is closed with the ground. */
  newQueue<P = unknown>(name: string, options?: Partial<TenantQueueOptions<P>>): TenantQueue<P>
  /** A worker that writes down what it runs and what it refuses. */
  newWorker(
    t: Test,
    name: string,
    options?: Partial<TenantWorkerOptions> & { readonly work?: (job: TenantJob) => Promise<unknown> },
  ): {
    readonly worker: TenantWorker
    readonly runs: readonly { readonly tenant: string; readonly payload: unknown; readonly attempt: number }[]
    readonly errors: readonly Error[]
  }
}

export interface JobsGround extends Omit<RouterGround<FreeholdDatabase>, 'newTenant'> {
  readonly router: Router
  readonly kinds: Readonly<Record<string, Kind>>
  use(kind: Kind): Promise<Jobs>
  /** A tenant of the pool, of the tier `free` unless told otherwise. */
  newTenant(changes?: Partial<Route> & { readonly plan?: string }): Promise<TenantId>
  /** Changes where a tenant is, or, by null, that there is one, and says so. */
  change(tenantId: TenantId, changes: Partial<Route> | null): void
}

export async function prepareJobsGround(name: string): Promise<JobsGround> {
  const ground = await prepareRouterGround(name)
  const { source } = ground
  const pool = await createItemsDatabase(ground.prepared, 'pool')
  const router = ground.newRouter()
  const closers: (() => Promise<unknown>)[] = []
  const kinds: Record<string, Kind> = {
    Redis: {
      flood: 100_000,
      async start() {
        const redis = await startTestRedis()
        closers.push(() => redis.remove())
        const script = `local out = {} for _, key in ipairs(redis.call('keys', '*')) do if redis.call('type', key).ok == 'hash' then table.insert(out, key .. ' ' .. table.concat(redis.call('hgetall', key), ' ')) end end return table.concat(out, '; ')`
        return { location: { redisUrl: redis.url }, contents: () => redis.command(`EVAL "${script}" 0`) }
      },
    },
    PostgreSQL: {
      flood: 3_000,
      async start() {
        const name = `queue_${randomUUID().slice(0, 8)}`
        const asRoot = (sql: string, database = 'postgres') =>
          withClient(asSuperuser(ground.prepared.cluster, database), 'test', (client) => client.query(sql))
        await asRoot(`create database ${name} owner freehold_control`)
        const { host, port } = ground.prepared.cluster
        const password = ground.prepared.passwords.freehold_control
        return {
          location: {
            databaseUrl: `postgres://freehold_control:${password}@${host}:${port}/${name}?sslmode=disable`,
          },
          contents: async () =>
            JSON.stringify((await asRoot('select to_jsonb(job) from bullmq.job', name)).rows),
        }
      },
    },
  }

  return {
    ...ground,
    router,
    kinds,
    async use(kind) {
      const here = await kind.start()
      const everywhere = { [east]: here.location }
      return {
        here,
        newName: () => `jobs-${randomUUID().slice(0, 8)}`,
        newQueue(name, options = {}) {
          const queue = tenantQueue({ router, name, regions: everywhere, ...options })
          closers.push(() => queue.close())
          return queue
        },
        newWorker(t, name, options = {}) {
          const { work, ...rest } = options
          const runs: { readonly tenant: string; readonly payload: unknown; readonly attempt: number }[] = []
          const errors: Error[] = []
          const worker = tenantWorker({
            router,
            name,
            regions: everywhere,
            ...rest,
            onError: (error) => errors.push(error),
            async handler(job) {
              runs.push({ tenant: currentTenant().tenant.id, payload: job.payload, attempt: job.attempt })
              return work?.(job)
            },
          })
          t.teardown(() => worker.close(0))
          return { worker, runs, errors }
        },
      }
    },
    async newTenant(changes = {}) {
      const { plan = 'free', ...route } = changes
      const tenantId = newTenantId()
      await setResident(pool, tenantId)
      source.place(pool, tenantId, { tier: tierIdSchema.parse(plan), ...route })
      return tenantId
    },
    change(tenantId, changes) {
      if (changes) source.place(pool, tenantId, changes)
      else source.routes.delete(tenantId)
      source.announce({ tenantId })
    },
    async remove() {
      for (const close of closers.reverse()) await close()
      await ground.remove()
    },
  }
}

export function count(values: readonly string[]): Record<string, number> {
  const counted: Record<string, number> = {}
  for (const value of values) counted[value] = (counted[value] ?? 0) + 1
  return counted
}
