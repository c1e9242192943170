import { z } from 'zod'
import {
  clusterIdSchema,
  operationIdSchema,
  regionIdSchema,
  slugSchema,
  tenantIdSchema,
  tenantReferenceSchema,
} from './ids.ts'
import { moveTermsFields, operatedMoveFields, REPAIR } from './operated-move.ts'
import { isolationSchema, placementSchema } from './placement.ts'
import { problemSchema } from './problem.ts'

/** The phases that an undisturbed move passes, in this order (docs/protocol.md); `soak` only with a rollback window. */
export const straightMovePhases = [
  'planned',
  'provisioning',
  'dual_write',
  'backfill',
  'verify',
  'ready',
  'cutover',
  'soak',
  'finalize',
  'completed',
] as const
export const movePhases = [
  ...straightMovePhases,
  'aborting',
  'aborted',
  'rolling_back',
  'rolled_back',
] as const
export const movePhaseSchema = z.enum(movePhases)
export type MovePhase = (typeof movePhases)[number]

export const terminalMovePhases = [
  'completed',
  'aborted',
  'rolled_back',
] as const satisfies readonly MovePhase[]
export function isTerminalPhase(phase: MovePhase): phase is (typeof terminalMovePhases)[number] {
  return phase === 'completed' || phase === 'aborted' || phase === 'rolled_back'
}

/** The longest rollback window: 30 days. */
export const MAX_ROLLBACK_WINDOW_SECONDS = 30 * 86_400
export const rollbackWindowSecondsSchema = z.int().min(0).max(MAX_ROLLBACK_WINDOW_SECONDS)

export const tableProgressSchema = z.object({
  table: z.string(),
  rowsCopied: z.int(),
  rowsEstimated: z.int().describe('As planned, until more have come or all have: never less than are copied'),
  bytesCopied: z.int(),
})
export type TableProgress = z.infer<typeof tableProgressSchema>

/** What can be seen of a move while it runs, and its measurements afterwards. */
export const moveProgressSchema = z
  .object({
    tables: z.array(tableProgressSchema),
    rowsCopied: z.int(),
    rowsEstimated: z.int().describe('Of all tables'),
    bytesCopied: z.int(),
    rowsPerSecond: z.number().nullable(),
    etaSeconds: z.number().nullable(),
    lagBytes: z
      .int()
      .nullable()
      .describe(
        'WAL of the side that is written to which the other has not yet applied; in `soak` the other is the source',
      ),
    throttled: z.string().nullable().default(null).describe('Why copying or purging is held back'),
    changesApplied: z.int().describe('Row changes carried over by dual-write'),
    verification: z
      .object({
        tables: z.int(),
        rows: z.int(),
        mismatches: z.int().describe('Tables whose two sides differed'),
        at: z.iso.datetime(),
        changedSince: z
          .int()
          .nullable()
          .default(null)
          .describe('Rows that have changed since then, and are compared at the switch; null: not counted'),
        references: z
          .object({ tables: z.int(), rows: z.int() })
          .default({ tables: 0, rows: 0 })
          .describe('Reference tables that the target has of its own, and were found or made equal'),
      })
      .nullable(),
    repairedRows: z
      .int()
      .default(0)
      .describe('Rows of the target that were rewritten because verification had found them to differ'),
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

/** The rollback window of a move: the time after the switch in which the old home is kept in step. */
export const rollbackWindowSchema = z
  .object({
    seconds: rollbackWindowSecondsSchema.describe('How long the window lasts'),
    closesAt: z.iso
      .datetime()
      .nullable()
      .describe(
        'From then on the source is purged; null before the switch and when a rollback was asked for',
      ),
    state: z
      .enum(['pending', 'open', 'requested', 'unsafe', 'closed'])
      .describe(
        'pending: before the switch. open: the move can be rolled back and nothing is lost. requested: it is being ' +
          'rolled back. unsafe: rolling back would lose writes and is refused. closed: the source is not kept any more',
      ),
    problem: problemSchema.nullable().describe('Why the move cannot be rolled back safely'),
    trouble: z
      .object({ since: z.iso.datetime(), code: z.string(), reason: z.string() })
      .nullable()
      .describe(
        'Why the old home has not been kept in step since then; the changes are kept for it, and it is tried again',
      ),
  })
  .meta({ id: 'RollbackWindow' })
export type RollbackWindow = z.infer<typeof rollbackWindowSchema>

export const moveSchema = z
  .object({
    id: operationIdSchema,
    tenant: z.object({ id: tenantIdSchema, slug: slugSchema }),
    phase: movePhaseSchema,
    from: placementSchema,
    to: placementSchema.partial({ dataDatabaseId: true }),
    progress: moveProgressSchema,
    rollback: rollbackWindowSchema
      .nullable()
      .describe('null: the move was started without a rollback window'),
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
 * by triggers elsewhere. Said once for both directions: to the target, and back while the rollback window is open.
 */
export const changeStreamChoiceSchema = z.enum(['auto', 'logical', 'triggers'])
export type ChangeStreamChoice = z.infer<typeof changeStreamChoiceSchema>

const changeStreamField = changeStreamChoiceSchema
  .default('auto')
  .describe(
    "How writes are followed: by the server's log, by triggers, or by what is to be had; to the target, and back while the rollback window is open",
  )

export const startMoveSchema = z
  .strictObject({
    tenant: tenantReferenceSchema,
    target: moveTargetSchema,
    changeStream: changeStreamField,
    ...moveTermsFields,
    rollbackWindowSeconds: rollbackWindowSecondsSchema
      .optional()
      .describe('How long the move can be rolled back after the switch; 0: not at all'),
  })
  .meta({ id: 'StartMove' })
export type StartMove = z.infer<typeof startMoveSchema>

/** The same as a query: what is to be planned. */
export const planMoveSchema = z
  .strictObject({
    tenant: tenantReferenceSchema,
    ...moveTargetFields,
    changeStream: changeStreamField,
    rollbackWindowSeconds: z.coerce.number().pipe(rollbackWindowSecondsSchema).optional(),
    repair: z.stringbool().default(false).describe(REPAIR),
  })
  .refine(namesOnePlace, onePlace)
  .refine(namesAPool, aPool)
export type PlanMove = z.infer<typeof planMoveSchema>

/** The body of a request to roll a move back or to finalize it early. */
export const endWindowSchema = z
  .strictObject({
    dryRun: z.boolean().default(false).describe('Say whether it could be done, and change nothing'),
  })
  .meta({ id: 'EndWindow' })

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
