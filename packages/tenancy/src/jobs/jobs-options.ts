import { FreeholdError, tenantIdSchema, textSchema } from '@freehold/contract'
import { z } from 'zod'
import type { FreeholdDatabase } from '../context/tenant-context.ts'
import type { Router } from '../router.ts'
import type { QueueLocation } from './queue-backend.ts'

/** What both ends of a product's jobs are told. */
export interface TenantJobsOptions<P = unknown> {
  readonly router: Router<FreeholdDatabase>
  /** The name of the product's jobs: 1 to 40 lower-case letters, digits or hyphens. */
  readonly name: string
  /**
   * Where the jobs of each region's tenants are kept, by the region's id. A tenant's jobs are put into its region's
   * queue and into no other. A worker serves the regions that it is told of.
   */
  readonly regions: Readonly<Record<string, QueueLocation>>
  /** What a job's payload must be, checked when it is put in and before it runs. Anything that is JSON unless set. */
  readonly payload?: z.ZodType<P>
  /** How many of a tenant's jobs may run at once, and its weight beside others, by tier; `default`: 4 unless set. */
  readonly shares?: Readonly<Record<string, number>>
  /** Told of what goes wrong without failing anything: a server that is away, a job that is refused. */
  readonly onError?: (error: Error) => void
}

const checked = z.object({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,39}$/, 'must be 1 to 40 lower-case letters, digits or hyphens'),
  regions: z.record(
    z.string(),
    z.union([
      z.object({ redisUrl: z.url({ protocol: /^rediss?$/ }) }),
      z.object({ databaseUrl: z.url({ protocol: /^postgres(ql)?$/ }) }),
    ]),
  ),
  shares: z.record(z.string(), z.int().min(1).max(1_000)).default({}),
  maxWaiting: z.record(z.string(), z.int().min(1)).default({}),
})

/** @throws FreeholdError `config_invalid`; addresses hold passwords and are not repeated. */
export function checkJobsOptions(options: TenantJobsOptions<never> | TenantJobsOptions): void {
  const parsed = checked.safeParse(options)
  if (parsed.success) return
  const issues = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
  const wrong = issues.map((issue) => `${issue.path}: ${issue.message}`).join('; ')
  throw new FreeholdError('config_invalid', `Wrong options of the jobs: ${wrong}.`, { issues })
}

const DEFAULT_SHARE = 4

export function shareOf(
  { shares = {} }: Pick<TenantJobsOptions, 'shares'>,
  tier: string | undefined,
): number {
  return ofTier(shares, tier) ?? DEFAULT_SHARE
}

/** What is set for a tier, or else as `default`. */
export function ofTier(
  settings: Readonly<Record<string, number>>,
  tier: string | undefined,
): number | undefined {
  const own = tier !== undefined && Object.hasOwn(settings, tier) ? settings[tier] : undefined
  return own ?? settings.default
}

/** All that stands in a queue. The tenant is put in by the router and never taken from the product's payload. */
export const jobDataSchema = z.strictObject({ tenant: tenantIdSchema, payload: z.unknown() })
export const jobNameSchema = textSchema.min(1).max(100)
