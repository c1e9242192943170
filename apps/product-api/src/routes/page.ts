import { z } from 'zod'

/** Where a page ends: the instant and the id of its last row. */
const cursorSchema = z.tuple([z.iso.datetime({ precision: 6 }), z.uuid()])

const cursorParameter = z
  .string()
  .max(200)
  .transform((text, context): z.infer<typeof cursorSchema> => {
    const parsed = cursorSchema.safeParse(decode(text))
    if (parsed.success) return parsed.data
    context.addIssue({ code: 'custom', message: 'must be the `next_cursor` of the page before' })
    return z.NEVER
  })

/** The paging parameters of every list. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: cursorParameter.optional(),
}

export interface Page<Row> {
  items: Row[]
  next_cursor: string | null
}

/**
 * Cuts one row more than was asked for into a page and a cursor: what is left over says that there is more.
 *
 * @param rows at most `limit + 1` rows, newest first.
 */
export function toPage<Row extends { id: string }>(
  rows: Row[],
  limit: number,
  instantOf: (row: Row) => string,
): Page<Row> {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  const more = rows.length > limit && last !== undefined
  return { items, next_cursor: more ? encode([instantOf(last), last.id]) : null }
}

const encode = (cursor: z.infer<typeof cursorSchema>): string =>
  Buffer.from(JSON.stringify(cursor)).toString('base64url')

function decode(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
}
