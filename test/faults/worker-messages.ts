import { z } from 'zod'

/** What a test asks of its worker process. */
export const commandSchema = z.discriminatedUnion('kind', [
  /** Begin to work; and, with a barrier, stand still the first time it is come by. */
  z.object({ kind: z.literal('begin'), barrier: z.string().optional() }),
  /** Stand still the next time the barrier is come by; without a barrier, at none. */
  z.object({ kind: z.literal('stop_at'), barrier: z.string().optional() }),
  z.object({ kind: z.literal('go_on') }),
  z.object({ kind: z.literal('shift_clock'), ms: z.number() }),
])
export type Command = z.infer<typeof commandSchema>

/** What the worker process tells. */
export const reportSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready') }),
  z.object({ kind: z.literal('armed') }),
  z.object({ kind: z.literal('stands'), barrier: z.string() }),
])
export type Report = z.infer<typeof reportSchema>
