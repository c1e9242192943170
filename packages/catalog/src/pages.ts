import { FreeholdError, type OperationId, operationIdSchema, type Slug, slugSchema } from '@freehold/contract'
import type { z } from 'zod'

// A cursor is the key of the last item of the page before: pages neither skip nor repeat an item when others are
// added meanwhile, and any page costs the same.

/** @throws FreeholdError `invalid_request` when it is no cursor of a list of tenants. */
export function slugCursor(cursor: string | undefined): Slug | null {
  return parseCursor(slugSchema, cursor)
}

/** @throws FreeholdError `invalid_request` when it is no cursor of a list of moves. */
export function operationCursor(cursor: string | undefined): OperationId | null {
  return parseCursor(operationIdSchema, cursor)
}

/** @throws FreeholdError `invalid_request` when it is no cursor of the list. */
export function parseCursor<T extends z.ZodType>(schema: T, cursor: string | undefined): z.output<T> | null {
  if (cursor === undefined) return null
  const parsed = schema.safeParse(cursor)
  if (parsed.success) return parsed.data
  const message = 'must be the nextCursor of an earlier page'
  throw new FreeholdError('invalid_request', 'The cursor is not valid.', {
    issues: [{ path: 'querystring/cursor', message }],
  })
}

/** A page, made of what was found when one item more than the page holds was asked for. */
export function pageOf<T>(found: readonly T[], limit: number, cursorOf: (item: T) => string) {
  const items = found.slice(0, limit)
  const last = items.at(-1)
  return { items, nextCursor: found.length > limit && last !== undefined ? cursorOf(last) : null }
}
