import { FreeholdError, isFreeholdError, type TenantId, tenantIdSchema } from '@freehold/contract'
import { DelayedError, type Job, UnrecoverableError } from 'bullmq'
import { z } from 'zod'
import { runAsTenant } from '../context/tenant-context.ts'
import type { Tenant } from '../placement/placement.ts'
import { jobDataSchema, shareOf } from './jobs-options.ts'
import { parkedDelayMs, poolQueue, queueOf, type RegionQueues } from './region-queues.ts'
import type { TenantWorkerOptions } from './tenant-worker.ts'
import type { Line, Tickets } from './tickets.ts'

export interface JobRunSettings<P> {
  readonly options: TenantWorkerOptions<P>
  /** The region and the queue from which jobs come. */
  readonly region: string
  readonly queue: string
  readonly tickets: Tickets
  readonly queuesOf: (region: string) => RegionQueues | undefined
}

/** How long a job waits when it cannot be said whose it is, because the catalog is away. */
const POSTPONED_MS = 2_000
/** Whose ticket it is, whatever else the job says. */
const ownerSchema = z.object({ tenant: tenantIdSchema })

/** A job that will never run: tried again it would be refused again. */
class RefusedJob extends UnrecoverableError {
  constructor(error: FreeholdError) {
    super(`${error.code}: ${error.message}`)
    this.cause = error
  }
}

/** What is done with a job that a worker has taken from a queue. */
export class JobRun<P> {
  readonly #settings: JobRunSettings<P>

  constructor(settings: JobRunSettings<P>) {
    this.#settings = settings
  }

  /** Where the job's ticket is; undefined for a job that names no tenant. */
  async lineOf(job: Job): Promise<Line | undefined> {
    const owner = ownerSchema.safeParse(job.data)
    return owner.success ? this.line(owner.data.tenant) : undefined
  }

  async line(tenantId: TenantId): Promise<Line> {
    const { options, queue } = this.#settings
    const tenant = await options.router.tenant(tenantId).catch(() => undefined)
    return { queue, tenantId, share: shareOf(options, tenant?.tier) }
  }

  /** Whether the queue is that of a tenant which has left it. */
  async isAbandoned(): Promise<boolean> {
    const { options, region, queue } = this.#settings
    const owner = queue.slice(poolQueue(options.name, region).length + 1)
    if (owner === '') return false
    try {
      const tenant = await options.router.tenant(owner)
      return !this.#belongsHere(tenant)
    } catch (error) {
      return isFreeholdError(error, 'tenant_not_found')
    }
  }

  async run(job: Job, token: string, signal: AbortSignal): Promise<unknown> {
    const data = jobDataSchema.safeParse(job.data)
    if (!data.success) throw refused('invalid_request', 'The job was not put in by a tenantQueue().')
    const tenant = await this.#tenantOf(data.data.tenant, job, token)
    if (!this.#belongsHere(tenant)) return this.#moveOn(tenant, job, data.data.payload)
    await this.#start(tenant, job, token)
    const payload = this.#parse(data.data.payload)
    const { router, handler } = this.#settings.options
    return runAsTenant(router, tenant.id, (db, current) =>
      handler({
        id: String(job.id),
        name: job.name,
        payload,
        tenant: current,
        db,
        attempt: job.attemptsMade + 1,
        signal,
      }),
    )
  }

  async #tenantOf(tenantId: TenantId, job: Job, token: string): Promise<Tenant> {
    try {
      return await this.#settings.options.router.tenant(tenantId)
    } catch (error) {
      if (isFreeholdError(error, 'tenant_not_found', 'tenant_suspended', 'invalid_request'))
        throw new RefusedJob(error)
      // It is nobody's fault, so it costs no attempt.
      await job.moveToDelayed(Date.now() + POSTPONED_MS, token)
      throw new DelayedError()
    }
  }

  #belongsHere(tenant: Tenant): boolean {
    const { options, queue } = this.#settings
    return queueOf(options.name, tenant) === queue
  }

  /** The tenant has moved: its job goes after it, under the same id, so that doing this twice makes one job. */
  async #moveOn(tenant: Tenant, job: Job, payload: unknown): Promise<{ movedTo: string }> {
    const { options, queuesOf } = this.#settings
    const target = queuesOf(tenant.region)
    if (!target)
      throw refused('region_not_served', `This worker has no queue for the region ${tenant.region}.`)
    const { attempts = 1, backoff } = job.opts
    const backoffMs = typeof backoff === 'object' ? (backoff.delay ?? 0) : 0
    await target.put(tenant, shareOf(options, tenant.tier), [
      {
        id: String(job.id),
        name: job.name,
        payload,
        attempts: Math.max(1, attempts - job.attemptsMade),
        backoffMs,
      },
    ])
    return { movedTo: tenant.region }
  }

  async #start(tenant: Tenant, job: Job, token: string): Promise<void> {
    const { options, queue, tickets, region, queuesOf } = this.#settings
    const line = { queue, tenantId: tenant.id, share: shareOf(options, tenant.tier) }
    const id = String(job.id)
    if (await tickets.start(line, id)) return
    await job.moveToDelayed(Date.now() + parkedDelayMs(), token)
    await queuesOf(region)?.open(queue, await tickets.park(line, id))
    throw new DelayedError()
  }

  #parse(payload: unknown): P {
    const { payload: schema } = this.#settings.options
    if (!schema) return payload as P
    const parsed = schema.safeParse(payload)
    if (parsed.success) return parsed.data
    throw refused('invalid_request', 'The payload is not what its schema asks for.')
  }
}

function refused(code: 'invalid_request' | 'region_not_served', message: string): RefusedJob {
  return new RefusedJob(new FreeholdError(code, message))
}
