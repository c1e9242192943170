import { createHash } from 'node:crypto'
import type { IdempotentRequest } from '@freehold/catalog'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'

/** Header of the requests that create something: sent again with the same key, one creates nothing more. */
export const idempotencyHeaders = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('Chosen by the client; a repeated request with the same key has the effect of one'),
})

/** @returns undefined when the client sent no key. */
export function idempotentRequest(
  request: FastifyRequest & { readonly headers: { readonly 'idempotency-key'?: string | undefined } },
): IdempotentRequest | undefined {
  const key = request.headers['idempotency-key']
  if (key === undefined) return undefined
  // The parsed body: defaults are filled in and fields stand in the schema's order, however they were sent.
  const [path] = request.url.split('?', 1)
  const asked = JSON.stringify([request.method, path, request.body])
  return { subject: request.user.sub, key, digest: createHash('sha256').update(asked).digest() }
}
