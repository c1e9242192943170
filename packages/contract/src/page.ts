import { z } from 'zod'

/** A page of a list that has nothing to search in. */
export const pageQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(300).optional().describe('`nextCursor` of the page before'),
})
export type PageQuery = z.infer<typeof pageQuerySchema>
