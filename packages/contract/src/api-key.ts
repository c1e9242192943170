import { z } from 'zod'
import { textSchema } from './ids.ts'

const API_KEY = /^fh_([0-9a-f]{16})_[A-Za-z0-9_-]{43}$/

/** What every API key begins with, and no JSON Web Token does. */
export const API_KEY_MARK = 'fh_'

/**
 * The part of an API key by which it is found.
 *
 * @returns undefined when the text is no API key.
 */
export function apiKeyPrefix(key: string): string | undefined {
  return API_KEY.exec(key)?.[1]
}

/** What an API key may do, in the product's words: `orders:write`. */
export const scopeSchema = z
  .string()
  .regex(
    /^[a-z][a-z0-9:._-]{0,63}$/,
    'must be 1 to 64 lower-case letters, digits or : . _ -, starting with a letter',
  )

export const apiKeySchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    prefix: z.string().describe('The part of the key by which it is found; no secret'),
    scopes: z.array(scopeSchema),
    createdBy: z.string(),
    createdAt: z.iso.datetime(),
    expiresAt: z.iso.datetime().nullable(),
    revokedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'ApiKey' })
export type ApiKey = z.infer<typeof apiKeySchema>

export const createdApiKeySchema = apiKeySchema
  .extend({
    key: z
      .string()
      .nullable()
      .describe('The key itself: shown once. Null when an earlier sending of the request has made it'),
  })
  .meta({ id: 'CreatedApiKey' })
export type CreatedApiKey = z.infer<typeof createdApiKeySchema>

export const createApiKeySchema = z
  .strictObject({
    name: textSchema.trim().min(1, 'must not be empty').max(200, 'must be at most 200 characters long'),
    scopes: z
      .array(scopeSchema)
      .max(32)
      .default([])
      .describe('What the key may do; without any, what needs no scope'),
    expiresAt: z.iso
      .datetime()
      .nullable()
      .default(null)
      .describe('When the key ends, in the future; null: never'),
  })
  .meta({ id: 'CreateApiKey' })
export type CreateApiKey = z.infer<typeof createApiKeySchema>

export const apiKeyPageSchema = z
  .object({ items: z.array(apiKeySchema), nextCursor: z.string().nullable() })
  .meta({ id: 'ApiKeyPage' })
export type ApiKeyPage = z.infer<typeof apiKeyPageSchema>
