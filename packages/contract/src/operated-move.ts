import { z } from 'zod'
import { clusterIdSchema, evacuationIdSchema } from './ids.ts'

const clockTime = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'must be a time of day such as 02:30')

/** PostgreSQL and JavaScript know the same names; an offset would mean opposite things to the two. */
const zoneSchema = z
  .string()
  .regex(/^[A-Za-z][\w+/-]*$/, 'must be the name of a time zone such as Europe/Berlin')
  .refine(isTimeZone, 'must be the name of a time zone such as Europe/Berlin')

/** A part of each day. */
export const switchWindowSchema = z
  .strictObject({
    from: clockTime.describe('The switch may begin from this time on'),
    to: clockTime.describe('And before this one; on the next day, when it is the earlier of the two'),
    tz: zoneSchema.default('UTC'),
  })
  .refine(({ from, to }) => from !== to, { message: 'must not be empty', path: ['to'] })
export type SwitchWindow = z.infer<typeof switchWindowSchema>

/** What the switch of a move waits for besides the target being in step. */
export const switchConditionsSchema = z
  .strictObject({
    approve: z.boolean().default(false).describe('Wait for an operator to approve the switch'),
    notBefore: z.iso.datetime({ offset: true }).nullable().default(null),
    window: switchWindowSchema.nullable().default(null),
  })
  .meta({ id: 'SwitchConditions' })
export type SwitchConditions = z.infer<typeof switchConditionsSchema>

/** What `repair` means wherever it is asked or told. */
export const REPAIR =
  'Rows of the target that verification finds to differ are rewritten from the source, once; without it the move is given up'

export const rowsPerSecondSchema = z.int().min(1).max(2_147_483_647)

/** What may be asked of a move when it is started. */
export const moveTermsFields = {
  cutover: switchConditionsSchema.optional(),
  maxRowsPerSecond: rowsPerSecondSchema
    .optional()
    .describe('Rows that are copied and purged per second at most; by default what the workers are set to'),
  repair: z.boolean().optional().describe(REPAIR),
}

/** Why nothing of a move is being done at the moment, and what would change that. */
export const moveWaitSchema = z
  .discriminatedUnion('for', [
    z.object({
      for: z.literal('resume').describe('It is paused'),
      since: z.iso.datetime(),
      by: z.string(),
      because: z
        .object({ code: z.string(), reason: z.string() })
        .nullable()
        .describe('What it met, when it paused by itself'),
    }),
    z.object({
      for: z.literal('retry').describe('An attempt has failed and is repeated'),
      attempts: z.int().describe('Failed attempts in this phase'),
      since: z.iso.datetime().describe('Of the first of them'),
      nextAttemptAt: z.iso.datetime(),
      code: z.string().describe('Of the last failure'),
      reason: z.string(),
    }),
    z.object({
      for: z.literal('line').describe('Other moves of the cluster go first'),
      cluster: clusterIdSchema,
      place: z.int().describe('1: the next'),
      underWay: z.int(),
      limit: z.int().describe('Moves that may be under way on the cluster'),
    }),
    z.object({ for: z.literal('approval').describe('The switch has to be approved') }),
    z.object({
      for: z.literal('window').describe('The switch may not begin yet'),
      opensAt: z.iso.datetime(),
    }),
  ])
  .meta({ id: 'MoveWait' })
export type MoveWait = z.infer<typeof moveWaitSchema>

/** What can be seen of how a move is operated. */
export const operatedMoveFields = {
  waiting: moveWaitSchema.nullable(),
  cutover: z
    .object({
      approve: z.boolean(),
      approvedAt: z.iso.datetime().nullable(),
      approvedBy: z.string().nullable(),
      notBefore: z.iso.datetime().nullable(),
      window: z.object({ from: z.string(), to: z.string(), tz: z.string() }).nullable(),
    })
    .describe('What the switch waits for besides the target being in step'),
  maxRowsPerSecond: z.int().nullable(),
  repair: z.boolean().describe(REPAIR),
  evacuation: evacuationIdSchema.nullable().describe('What has started the move, if not a person'),
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

/** What a move waits for, in a sentence for people. */
export function describeWait(wait: MoveWait): string {
  switch (wait.for) {
    case 'resume':
      return wait.because === null
        ? `Paused by ${wait.by}, until it is resumed.`
        : `Paused by itself (${wait.because.code}), until it is resumed or cancelled: ${wait.because.reason}`
    case 'retry':
      return `Attempt ${wait.attempts} failed (${wait.code}), as all since ${utc(wait.since)}; the next one is at ${utc(wait.nextAttemptAt)}.`
    case 'line':
      return `Waits in line at ${wait.cluster}, place ${wait.place}: ${wait.underWay} of at most ${wait.limit} moves are under way.`
    case 'approval':
      return 'Ready; the switch waits for an approval.'
    case 'window':
      return `Ready; the switch may begin at ${utc(wait.opensAt)}.`
  }
}

const utc = (iso: string) => `${iso.slice(0, 19).replace('T', ' ')} UTC`
