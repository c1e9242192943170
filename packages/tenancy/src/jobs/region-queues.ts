import type { TenantId } from '@freehold/contract'
import type { Tenant } from '../placement/placement.ts'
import type { JobQueue, QueueBackend, QueuedJob } from './queue-backend.ts'
import type { Line } from './tickets.ts'

/**
 * A job without a place is delayed for so long. Only a job that a crash has left without a ticket comes back by this;
 * spread out, so that a long line that is passed by does not come back all at once.
 */
const PARKED_MS = 6 * 3_600_000
const CHUNK = 1_000

/** Named after its region, so that regions which share a server, as on a developer's machine, share no queue. */
export function poolQueue(jobs: string, region: string): string {
  return `${jobs}.${region}`
}

/** A tenant in a silo has a queue of its own and never waits for the pool. */
export function queueOf(jobs: string, { id, region, isolation }: Tenant): string {
  const pool = poolQueue(jobs, region)
  return isolation === 'silo' ? `${pool}.${id}` : pool
}

/** In whole ms: PostgreSQL takes no others. */
export function parkedDelayMs(): number {
  return Math.round(PARKED_MS * (1 + Math.random()))
}

/** A job on its way into a queue. */
export interface NewJob {
  readonly id: string
  readonly name: string
  readonly payload: unknown
  readonly attempts: number
  readonly backoffMs: number
}

/** The queues of one region. */
export class RegionQueues {
  readonly #jobs: string
  readonly #backend: QueueBackend
  readonly #queues = new Map<string, JobQueue>()

  constructor(jobs: string, backend: QueueBackend) {
    this.#jobs = jobs
    this.#backend = backend
  }

  queue(name: string): JobQueue {
    const known = this.#queues.get(name)
    if (known) return known
    const queue = this.#backend.openQueue(name)
    this.#queues.set(name, queue)
    return queue
  }

  /** How many jobs a tenant has in its line, and running. */
  async count(tenant: Tenant, share: number): Promise<number> {
    const queue = queueOf(this.#jobs, tenant)
    return this.#backend.tickets.count({ queue, tenantId: tenant.id, share })
  }

  /** Puts jobs into a tenant's line; those that have a place begin to wait for a worker at once. */
  async put(tenant: Tenant, share: number, jobs: readonly NewJob[]): Promise<void> {
    const name = queueOf(this.#jobs, tenant)
    const pool = poolQueue(this.#jobs, tenant.region)
    if (name !== pool) await this.#backend.tickets.noteQueue(pool, name)
    const line = { queue: name, tenantId: tenant.id, share }
    for (let index = 0; index < jobs.length; index += CHUNK) {
      const chunk = jobs.slice(index, index + CHUNK)
      await this.queue(name).addBulk(chunk.map((job) => queued(tenant.id, job)))
      await this.open(
        name,
        await this.#backend.tickets.admit(
          line,
          chunk.map((job) => job.id),
        ),
      )
    }
  }

  /** Lets jobs in that have got a place. What fails here is made good by the sweep. */
  async open(name: string, jobIds: readonly string[]): Promise<void> {
    await Promise.allSettled(jobIds.map((id) => this.queue(name).promote(id)))
  }

  /** A job has ended or waits for its next attempt: the next of its tenant gets its place. */
  async finish(line: Line, jobId: string): Promise<void> {
    await this.open(line.queue, await this.#backend.tickets.finish(line, jobId))
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#queues.values()].map((queue) => queue.close()))
    await this.#backend.close()
  }
}

function queued(tenant: TenantId, { id, name, payload, attempts, backoffMs }: NewJob): QueuedJob {
  return {
    name,
    data: { tenant, payload },
    opts: {
      jobId: id,
      attempts,
      backoff: { type: 'exponential', delay: backoffMs },
      delay: parkedDelayMs(),
    },
  }
}
