import { z } from 'zod'
import {
  clusterIdSchema,
  evacuationIdSchema,
  operationIdSchema,
  regionIdSchema,
  slugSchema,
  tenantIdSchema,
} from './ids.ts'
import { problemSchema } from './problem.ts'

/** Where the tenants of a cluster are to go: the other clusters of a region, or one cluster. */
export const evacuationTargetSchema = z.union([
  z.strictObject({ region: regionIdSchema }),
  z.strictObject({ cluster: clusterIdSchema }),
])
export type EvacuationTarget = z.infer<typeof evacuationTargetSchema>

export const drainClusterSchema = z
  .strictObject({
    to: evacuationTargetSchema
      .optional()
      .describe("By default the other clusters of the cluster's own region"),
    maxConcurrent: z.int().min(1).max(100).default(2).describe('Moves of this evacuation at the same time'),
    after: slugSchema
      .optional()
      .describe('Of a dry run: check the tenants that follow this one, by slug; `next` of the answer before'),
    dryRun: z.boolean().default(false).describe('Check each tenant, say what would be done, change nothing'),
  })
  .meta({ id: 'DrainCluster' })
export type DrainCluster = z.infer<typeof drainClusterSchema>

const tenantName = z.object({ id: tenantIdSchema, slug: slugSchema })

/** What has become of a tenant of a cluster that is being emptied. */
export const evacuationTenantSchema = z.object({
  tenant: tenantName,
  state: z
    .enum(['waiting', 'planning', 'moving', 'moved', 'refused'])
    .describe('waiting: its move is still to be started. refused: it is not tried again; `problem` says why'),
  attempts: z.int(),
  nextAttemptAt: z.iso.datetime().nullable(),
  move: operationIdSchema.nullable(),
  problem: problemSchema.nullable().describe('Why the last attempt failed'),
})
export type EvacuationTenant = z.infer<typeof evacuationTenantSchema>

export const evacuationSchema = z
  .object({
    id: evacuationIdSchema,
    cluster: clusterIdSchema,
    target: evacuationTargetSchema,
    maxConcurrent: z.int(),
    createdBy: z.string(),
    createdAt: z.iso.datetime(),
    finishedAt: z.iso.datetime().nullable(),
    moved: z.int(),
    moving: z.int(),
    waiting: z.int(),
    refused: z.int(),
    left: z.int().describe('Tenants that live on the cluster now'),
    tenantsPerHour: z
      .number()
      .nullable()
      .describe('Moved since it began, by the hours since then; null: none has been moved yet'),
    etaSeconds: z
      .int()
      .nullable()
      .describe(
        'Until those that are moving and waiting are moved, at that rate; null: not known, or it has ended',
      ),
    tenants: z.array(evacuationTenantSchema).describe('At most 200, those with a problem first'),
  })
  .meta({ id: 'Evacuation' })
export type Evacuation = z.infer<typeof evacuationSchema>

/** What draining a cluster would do: the answer to a dry run. */
export const drainPlanSchema = z
  .object({
    cluster: clusterIdSchema,
    target: evacuationTargetSchema,
    left: z.int().describe('Tenants that live on the cluster now'),
    tenants: z
      .array(
        z.object({
          tenant: tenantName,
          to: clusterIdSchema.nullable(),
          problem: problemSchema.nullable().describe('Why it could not be moved now'),
        }),
      )
      .describe('Some at a time, by slug'),
    next: slugSchema.nullable().describe('`after` of the next request; null: the last tenant was checked'),
  })
  .meta({ id: 'DrainPlan' })
export type DrainPlan = z.infer<typeof drainPlanSchema>

export const limitClusterSchema = z
  .strictObject({ maxMoves: z.int().min(1).max(1_000) })
  .meta({ id: 'LimitCluster' })
