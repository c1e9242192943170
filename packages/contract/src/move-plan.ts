import { z } from 'zod'
import { type FindingCode, findingRegistry } from './finding-registry.ts'
import { slugSchema, tenantIdSchema } from './ids.ts'
import { REPAIR } from './operated-move.ts'
import { placementSchema } from './placement.ts'

/** blocking: a move that is started all the same is refused. advisory: to be known before it is started. */
export const findingSeveritySchema = z.enum(['blocking', 'advisory'])
export type FindingSeverity = z.infer<typeof findingSeveritySchema>

export const moveFindingSchema = z
  .object({
    code: z.enum(Object.keys(findingRegistry) as [FindingCode, ...FindingCode[]]),
    severity: findingSeveritySchema,
    object: z.string().describe('What it is about, by name: a table, a cluster, a role'),
    found: z.string().describe('What is the case'),
    remedy: z.string().describe('What to do about it'),
  })
  .meta({ id: 'MoveFinding' })
export type MoveFinding = z.infer<typeof moveFindingSchema>

/** What a move will take, roughly; docs/moving-a-tenant.md says how each figure is made. */
export const moveEstimatesSchema = z
  .object({
    rows: z.int(),
    bytes: z.int().describe('Of the rows as they travel, without indexes'),
    seconds: z.number(),
    extraDisk: z.object({
      sourceBytes: z.int().describe('Log that the source keeps until the target has read it'),
      targetBytes: z.int().describe('Rows and indexes, and for a silo an empty database'),
      windowBytes: z
        .int()
        .describe(
          'What the target keeps for the old home, if that cannot be reached for as long as the rollback window is open: its log, or notes of changed rows; 0 without a window',
        ),
    }),
    connections: z.object({
      source: z.int(),
      target: z.int(),
      replication: z.int().describe('WAL senders at the source, and slots'),
    }),
  })
  .meta({ id: 'MoveEstimates' })
export type MoveEstimates = z.infer<typeof moveEstimatesSchema>

/** What a move would do, and what the checks before it have found. */
export const movePlanSchema = z
  .object({
    tenant: z.object({ id: tenantIdSchema, slug: slugSchema }),
    from: placementSchema,
    to: placementSchema.partial({ dataDatabaseId: true }),
    findings: z
      .array(moveFindingSchema)
      .describe('Blocking ones first; without any of those the move can be started'),
    rollbackWindowSeconds: z
      .int()
      .describe('How long the move can be rolled back after the switch; 0: not at all'),
    repair: z.boolean().describe(REPAIR),
    estimates: moveEstimatesSchema.nullable().describe('null: the source could not be read'),
    tables: z.array(z.object({ table: z.string(), rowsEstimated: z.int(), bytesEstimated: z.int() })),
  })
  .meta({ id: 'MovePlan' })
export type MovePlan = z.infer<typeof movePlanSchema>

/** Whether a move would be refused if it were started. */
export function isBlocked({ findings }: Pick<MovePlan, 'findings'>): boolean {
  return findings.some(({ severity }) => severity === 'blocking')
}
