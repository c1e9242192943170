import { setTimeout as sleep } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import { type FreeholdDatabase, outsideTenant } from '../context/tenant-context.ts'
import type { Tenant } from '../placement/placement.ts'
import { JobRun } from './job-run.ts'
import { checkJobsOptions, type TenantJobsOptions } from './jobs-options.ts'
import { openBackend, type QueueBackend } from './queue-backend.ts'
import { QueueWorker } from './queue-worker.ts'
import { poolQueue, RegionQueues } from './region-queues.ts'

/** A job as its handler gets it, inside the tenant's context. */
export interface TenantJob<P = unknown> {
  readonly id: string
  readonly name: string
  readonly payload: P
  readonly tenant: Tenant
  readonly db: Kysely<FreeholdDatabase>
  /** 1 for the first try. */
  readonly attempt: number
  /** Aborted when the worker is closed and the deadline has passed. */
  readonly signal: AbortSignal
}

export interface TenantWorkerOptions<P = unknown> extends TenantJobsOptions<P> {
  /** Does the work of a job. When it throws, the job is tried again later; jobs must be safe to run twice. */
  readonly handler: (job: TenantJob<P>) => Promise<unknown>
  /** Jobs that run at once in this process, for each queue; 10 unless set. */
  readonly concurrency?: number
  /** How often what a crash has left behind is looked for, in ms; 10,000 unless set. */
  readonly sweepMs?: number
}

export interface TenantWorker {
  /** Takes jobs from now on, of the pool's queues in all regions. */
  ready(): Promise<void>
  /**
   * Takes no more jobs and lets those under way finish until the deadline; then their signals are aborted, and what
   * goes on regardless is given up: another worker runs it again.
   */
  close(deadlineMs?: number): Promise<void>
}

const DEFAULT_CONCURRENCY = 10
const DEFAULT_SWEEP_MS = 10_000
const DEFAULT_DEADLINE_MS = 10_000
/** How soon the queue of a tenant that is new in a silo is found. */
const DISCOVERY_MS = 1_000

/**
 * Opens the receiving side of a product's jobs: every job runs inside the context of its tenant, which is looked up
 * at that moment. The job of a tenant that is suspended or no longer there fails for good without running. The job of
 * a tenant that has moved to another region, or into or out of a silo, is put into the queue where it belongs now.
 *
 * @throws FreeholdError `config_invalid`
 * @example
 * ```ts
 * const worker = tenantWorker({
 *   router,
 *   name: 'mails',
 *   regions: { 'eu-central': { redisUrl: config.REDIS_URL } },
 *   payload: z.object({ to: z.email() }),
 *   shares: { default: 4, enterprise: 16 },
 *   handler: async ({ payload, db }) => send(payload.to, await db.selectFrom('texts').selectAll().execute()),
 * })
 * process.once('SIGTERM', () => worker.close(25_000))
 * ```
 */
export function tenantWorker<P = unknown>(options: TenantWorkerOptions<P>): TenantWorker {
  checkJobsOptions(options)
  return outsideTenant(() => new ProductWorker(options))
}

class ProductWorker<P> implements TenantWorker {
  readonly #options: TenantWorkerOptions<P>
  readonly #regions = new Map<string, { readonly backend: QueueBackend; readonly queues: RegionQueues }>()
  /** By region and queue. */
  readonly #workers = new Map<string, QueueWorker>()
  readonly #stop = new AbortController()
  readonly #tending: Promise<unknown>
  #closing: Promise<void> | undefined

  constructor(options: TenantWorkerOptions<P>) {
    this.#options = options
    for (const [region, location] of Object.entries(options.regions)) {
      const backend = openBackend(location, (error) => options.onError?.(error))
      this.#regions.set(region, { backend, queues: new RegionQueues(options.name, backend) })
      this.#open(region, poolQueue(options.name, region))
    }
    this.#tending = Promise.all([
      this.#every(DISCOVERY_MS, () => this.#discover()),
      this.#every(options.sweepMs ?? DEFAULT_SWEEP_MS, () => this.#sweep()),
    ])
  }

  async ready(): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.ready()))
  }

  close(deadlineMs = DEFAULT_DEADLINE_MS): Promise<void> {
    this.#closing ??= this.#close(deadlineMs)
    return this.#closing
  }

  async #close(deadlineMs: number): Promise<void> {
    this.#stop.abort()
    await Promise.all([...this.#workers.values()].map((worker) => worker.close(deadlineMs)))
    await this.#tending
    await Promise.all([...this.#regions.values()].map(({ queues }) => queues.close()))
  }

  #open(region: string, queue: string): void {
    const key = `${region}/${queue}`
    const own = this.#regions.get(region)
    if (this.#workers.has(key) || this.#stop.signal.aborted || !own) return
    const run = new JobRun({
      options: this.#options,
      region,
      queue,
      tickets: own.backend.tickets,
      queuesOf: (target) => this.#regions.get(target)?.queues,
    })
    const { concurrency = DEFAULT_CONCURRENCY, onError } = this.#options
    this.#workers.set(
      key,
      new QueueWorker({ backend: own.backend, queues: own.queues, queue, concurrency, run, onError }),
    )
  }

  async #discover(): Promise<void> {
    for (const [region, { backend }] of this.#regions) {
      for (const queue of await backend.tickets.queues(poolQueue(this.#options.name, region)))
        this.#open(region, queue)
    }
  }

  async #sweep(): Promise<void> {
    const forgottenMs = 2 * (this.#options.sweepMs ?? DEFAULT_SWEEP_MS)
    for (const [key, worker] of this.#workers) {
      await worker.sweep(forgottenMs)
      if (!(await worker.isAbandoned())) continue
      const [region = ''] = key.split('/')
      const pool = poolQueue(this.#options.name, region)
      await this.#regions.get(region)?.backend.tickets.forgetQueue(pool, worker.queue)
      this.#workers.delete(key)
      await worker.close(0)
    }
  }

  async #every(ms: number, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      await work().catch((error: unknown) => {
        if (error instanceof Error) this.#options.onError?.(error)
      })
      await sleep(ms, undefined, { signal }).catch(() => undefined)
    }
  }
}
