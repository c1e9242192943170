import { z } from 'zod'
import {
  clusterIdSchema,
  operationIdSchema,
  regionIdSchema,
  slugSchema,
  tenantIdSchema,
  tenantReferenceSchema,
} from './ids.ts'
import { moveTermsFields, operatedMoveFields } from './operated-move.ts'
import { isolationSchema, placementSchema } from './placement.ts'
import { problemSchema } from './problem.ts'

/** The phases of a move, in the order in which an undisturbed move passes them (docs/protocol.md). */
export const movePhases = [
  'planned',
  'provisioning',
  'dual_write',
  'backfill',
  'verify',
  'ready',
  'cutover',
  'finalize',
  'completed',
  'aborting',
  'aborted',
] as const
export const movePhaseSchema = z.enum(movePhases)
export type MovePhase = (typeof movePhases)[number]

export const terminalMovePhases = ['completed', 'aborted'] as const satisfies readonly MovePhase[]
export function isTerminalPhase(phase: MovePhase): phase is (typeof terminalMovePhases)[number] {
  return phase === 'completed' || phase === 'aborted'
}

export const tableProgressSchema = z.object({
  table: z.string(),
  rowsCopied: z.int(),
  rowsEstimated: z.int(),
  bytesCopied: z.int(),
})
export type TableProgress = z.infer<typeof tableProgressSchema>

/** What can be seen of a move while it runs, and its measurements afterwards. */
export const moveProgressSchema = z
  .object({
    tables: z.array(tableProgressSchema),
    rowsCopied: z.int(),
    rowsEstimated: z.int(),
    bytesCopied: z.int(),
    rowsPerSecond: z.number().nullable(),
    etaSeconds: z.number().nullable(),
    lagBytes: z.int().nullable().describe('WAL of the source that the target has not yet applied'),
    throttled: z.string().nullable().default(null).describe('Why copying or purging is held back'),
    changesApplied: z.int().describe('Row changes carried over by dual-write'),
    verification: z
      .object({ tables: z.int(), rows: z.int(), mismatches: z.int(), at: z.iso.datetime() })
      .nullable(),
    cutoverAttempts: z.int(),
    writePauseMs: z
      .number()
      .nullable()
      .describe('From the fence at the source to the first entry at the target'),
    seconds: z.object({
      backfill: z.number().nullable(),
      verify: z.number().nullable(),
      total: z.number().nullable(),
    }),
  })
  .meta({ id: 'MoveProgress' })
export type MoveProgress = z.infer<typeof moveProgressSchema>

export const moveSchema = z
  .object({
    id: operationIdSchema,
    tenant: z.object({ id: tenantIdSchema, slug: slugSchema }),
    phase: movePhaseSchema,
    from: placementSchema,
    to: placementSchema.partial({ dataDatabaseId: true }),
    progress: moveProgressSchema,
    cancelRequested: z.boolean(),
    ...operatedMoveFields,
    error: problemSchema.nullable(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    finishedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Move' })
export type Move = z.infer<typeof moveSchema>

export const moveEventSchema = z
  .object({
    sequence: z.int(),
    at: z.iso.datetime(),
    phase: movePhaseSchema,
    message: z.string(),
  })
  .meta({ id: 'MoveEvent' })
export type MoveEvent = z.infer<typeof moveEventSchema>

export const moveDetailSchema = moveSchema
  .extend({ events: z.array(moveEventSchema) })
  .meta({ id: 'MoveDetail' })
export type MoveDetail = z.infer<typeof moveDetailSchema>

const moveTargetFields = {
  isolation: isolationSchema,
  region: regionIdSchema.optional(),
  cluster: clusterIdSchema.optional(),
  database: z
    .string()
    .min(1)
    .max(63)
    .optional()
    .describe('One pool of the cluster, for the isolations pool and schema; without it Freehold picks one'),
}
type MoveTargetFields = z.infer<z.ZodObject<typeof moveTargetFields>>
const namesOnePlace = (target: MoveTargetFields) =>
  (target.region === undefined) !== (target.cluster === undefined)
const onePlace = { message: 'name either a region or a cluster' }
const namesAPool = ({ isolation, cluster, database }: MoveTargetFields) =>
  database === undefined || (cluster !== undefined && isolation !== 'silo')
const aPool = { message: 'name a database together with its cluster, and only for a pool or a schema' }

/** Where a tenant is to go: a region (Freehold picks a cluster with room), one cluster, or one pool of a cluster. */
export const moveTargetSchema = z
  .strictObject(moveTargetFields)
  .refine(namesOnePlace, onePlace)
  .refine(namesAPool, aPool)
export type MoveTarget = z.infer<typeof moveTargetSchema>

/**
 * How a move follows its tenant: by the server's log, by triggers on its tables, or by the log where that can be had and
 * by triggers elsewhere.
 */
export const changeStreamChoiceSchema = z.enum(['auto', 'logical', 'triggers'])
export type ChangeStreamChoice = z.infer<typeof changeStreamChoiceSchema>

const changeStreamField = changeStreamChoiceSchema
  .default('auto')
  .describe(
    "How writes are followed while the tenant moves: by the source's log, by triggers, or by what is to be had",
  )

export const startMoveSchema = z
  .strictObject({
    tenant: tenantReferenceSchema,
    target: moveTargetSchema,
    changeStream: changeStreamField,
    ...moveTermsFields,
  })
  .meta({ id: 'StartMove' })
export type StartMove = z.infer<typeof startMoveSchema>

/** The same as a query: what is to be planned. */
export const planMoveSchema = z
  .strictObject({ tenant: tenantReferenceSchema, ...moveTargetFields, changeStream: changeStreamField })
  .refine(namesOnePlace, onePlace)
  .refine(namesAPool, aPool)
export type PlanMove = z.infer<typeof planMoveSchema>

export const moveQuerySchema = z.strictObject({
  tenant: tenantReferenceSchema.optional(),
  active: z.stringbool().optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(200).optional(),
})
export type MoveQuery = z.infer<typeof moveQuerySchema>

export const movePageSchema = z
  .object({ items: z.array(moveSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'MovePage' })
export type MovePage = z.infer<typeof movePageSchema>
