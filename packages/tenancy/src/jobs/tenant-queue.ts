import { randomUUID } from 'node:crypto'
import { FreeholdError, isFreeholdError, textSchema } from '@freehold/contract'
import { ofRegion } from '../context/of-region.ts'
import { assertNotAnother, currentTenant, outsideTenant } from '../context/tenant-context.ts'
import type { Tenant } from '../placement/placement.ts'
import { within } from '../placement/within.ts'
import { checkJobsOptions, jobNameSchema, ofTier, shareOf, type TenantJobsOptions } from './jobs-options.ts'
import { openBackend } from './queue-backend.ts'
import { type NewJob, RegionQueues } from './region-queues.ts'

export interface TenantQueueOptions<P = unknown> extends TenantJobsOptions<P> {
  /** Bytes of a payload as JSON; 65,536 unless set. Put large things somewhere else, and their key into the job. */
  readonly maxPayloadBytes?: number
  /**
   * How many jobs a tenant may have that have not ended, by tier; `default`: 100,000 unless set. Senders that put jobs
   * in at the same moment may go over it by what they put in, and jobs that wait for another attempt are not counted.
   */
  readonly maxWaiting?: Readonly<Record<string, number>>
}

export interface JobOptions {
  /** How often a job is tried in all; 3 unless set. */
  readonly attempts?: number
  /** How long a job that has failed waits, in ms, doubled each time; 1,000 unless set, at least 100. */
  readonly backoffMs?: number
}

/** The jobs of one tenant. */
export interface JobSender<P> {
  /**
   * Puts a job in.
   *
   * @returns its id.
   * @throws FreeholdError `invalid_request` for a name or a payload that is not as it must be, `region_not_served`,
   * `too_many_jobs`, `queue_unavailable`, and as {@link Router.tenant} does. But for `queue_unavailable` nothing was put in.
   */
  add(name: string, payload: P, options?: JobOptions): Promise<string>
  /** Puts many jobs in, in order; all are checked before the first is put in. @returns their ids. */
  addMany(
    jobs: readonly { readonly name: string; readonly payload: P }[],
    options?: JobOptions,
  ): Promise<string[]>
}

/** The jobs of the tenant as whom the code runs; throws `tenant_context_missing` when there is none. */
export interface TenantQueue<P> extends JobSender<P> {
  /** The jobs of a tenant, from outside. @throws FreeholdError `tenant_fixed` inside another tenant's context. */
  forTenant(tenantId: string): JobSender<P>
  close(): Promise<void>
}

const DEFAULT_MAX_PAYLOAD_BYTES = 65_536
const DEFAULT_MAX_WAITING = 100_000
const TOO_MANY_RETRY_SECONDS = 10
const DEFAULT_ATTEMPTS = 3
const DEFAULT_BACKOFF_MS = 1_000
const MIN_BACKOFF_MS = 100
const PATIENCE_MS = 10_000
const CLOSE_PATIENCE_MS = 2_000

/**
 * Opens the sending side of a product's jobs. A job belongs to the tenant as whom it is put in, and runs as that
 * tenant; its payload holds the tenant's id, what the product puts in, and nothing else.
 *
 * @throws FreeholdError `config_invalid`
 * @example
 * ```ts
 * const mails = tenantQueue({
 *   router,
 *   name: 'mails',
 *   regions: { 'eu-central': { redisUrl: config.REDIS_URL } },
 *   payload: z.object({ to: z.email() }),
 * })
 * app.post<{ Body: { to: string } }>('/invitations', ({ body }) => mails.add('invitation', { to: body.to }))
 * ```
 */
export function tenantQueue<P = unknown>(options: TenantQueueOptions<P>): TenantQueue<P> {
  checkJobsOptions(options)
  const regions = new Map<string, RegionQueues>()

  function queuesOf(region: string, open: () => RegionQueues): RegionQueues {
    const known = regions.get(region)
    if (known) return known
    const opened = outsideTenant(open)
    regions.set(region, opened)
    return opened
  }

  async function putWithin(queues: RegionQueues, tenant: Tenant, jobs: readonly NewJob[]): Promise<void> {
    const share = shareOf(options, tenant.tier)
    const maximum = ofTier(options.maxWaiting ?? {}, tenant.tier) ?? DEFAULT_MAX_WAITING
    if (jobs.length > maximum || (await queues.count(tenant, share)) + jobs.length > maximum) {
      throw new FreeholdError('too_many_jobs', `The tenant may have ${maximum} jobs that have not ended.`, {
        retryAfterSeconds: TOO_MANY_RETRY_SECONDS,
        details: { maximum },
      })
    }
    await queues.put(tenant, share, jobs)
  }

  async function put(tenantId: string, jobs: readonly NewJob[]): Promise<string[]> {
    const tenant = await options.router.tenant(tenantId)
    assertNotAnother(tenant.id)
    const location = ofRegion(options.regions, tenant, 'queue')
    const queues = queuesOf(tenant.region, () => {
      const backend = openBackend(location, (error) => options.onError?.(error))
      return new RegionQueues(options.name, backend)
    })
    try {
      // BullMQ waits for ever for a server that is away.
      const work = outsideTenant(() => putWithin(queues, tenant, jobs))
      await within(PATIENCE_MS + jobs.length, work)
    } catch (cause) {
      if (isFreeholdError(cause, 'too_many_jobs')) throw cause
      throw new FreeholdError('queue_unavailable', undefined, { cause, retryAfterSeconds: 1 })
    }
    return jobs.map((job) => job.id)
  }

  const sender = (whose: () => string): JobSender<P> => {
    const addMany: JobSender<P>['addMany'] = async (jobs, settings = {}) => {
      const tenantId = whose()
      return put(
        tenantId,
        jobs.map(({ name, payload }) => newJob(options, name, payload, settings)),
      )
    }
    return {
      addMany,
      async add(name, payload, settings) {
        const [id] = await addMany([{ name, payload }], settings)
        return String(id)
      },
    }
  }

  return {
    ...sender(() => currentTenant().tenant.id),
    forTenant: (tenantId) => sender(() => tenantId),
    async close() {
      const closing = Promise.allSettled([...regions.values()].map((queues) => queues.close()))
      regions.clear()
      await within(CLOSE_PATIENCE_MS, closing).catch(() => undefined)
    },
  }
}

function newJob<P>(options: TenantQueueOptions<P>, name: string, payload: P, settings: JobOptions): NewJob {
  if (!jobNameSchema.safeParse(name).success) throw invalid('name', 'must be text of 1 to 100 characters')
  const parsed = options.payload?.safeParse(payload)
  if (parsed && !parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => ({
      path: ['payload', ...path].join('.'),
      message,
    }))
    throw new FreeholdError('invalid_request', 'The payload is not what its schema asks for.', { issues })
  }
  const json = jsonOf(payload)
  const max = options.maxPayloadBytes ?? DEFAULT_MAX_PAYLOAD_BYTES
  if (json === undefined) throw invalid('payload', 'must be a value that JSON can express')
  if (Buffer.byteLength(json) > max) throw invalid('payload', `must be at most ${max} bytes of JSON`)
  const { attempts = DEFAULT_ATTEMPTS, backoffMs = DEFAULT_BACKOFF_MS } = settings
  return { id: randomUUID(), name, payload, attempts, backoffMs: Math.max(MIN_BACKOFF_MS, backoffMs) }
}

/** @throws FreeholdError `invalid_request` for text that PostgreSQL does not store. */
function jsonOf(payload: unknown): string | undefined {
  return JSON.stringify(payload, (key, value: unknown) => {
    for (const text of [key, value]) {
      if (typeof text === 'string' && !textSchema.safeParse(text).success) {
        throw invalid('payload', 'must hold text without the character NUL')
      }
    }
    return value
  })
}

function invalid(path: string, message: string): FreeholdError {
  return new FreeholdError('invalid_request', `${path} ${message}.`, { issues: [{ path, message }] })
}
