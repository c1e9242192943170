import { FreeholdError } from '@freehold/contract'
import { z } from 'zod'
import type { Queries } from './database.ts'

/** A creating request that must take effect once, however often it is sent. */
export interface IdempotentRequest {
  /** Who sent it: keys of two senders never meet. */
  readonly subject: string
  readonly key: string
  /** SHA-256 of what was asked for. */
  readonly digest: Buffer
}

const keyRow = z.object({ digest: z.instanceof(Buffer), resourceId: z.string() })

/**
 * The resource that an earlier sending of the request made, if there was one.
 *
 * @throws FreeholdError `idempotency_key_reused` when the key stands for another request.
 */
export async function findMade(queries: Queries, request: IdempotentRequest): Promise<string | undefined> {
  const found = await queries.first(
    keyRow,
    `select request_digest as digest, resource_id as "resourceId" from catalog.idempotency_keys
     where subject = $1 and key = $2`,
    [request.subject, request.key],
  )
  if (found === undefined) return undefined
  if (!found.digest.equals(request.digest)) throw new FreeholdError('idempotency_key_reused')
  return found.resourceId
}

/**
 * Takes the key for a resource, inside the transaction that makes it. A second sending at the same time waits
 * here until the first has ended.
 *
 * @returns the resource that an earlier sending has made, and then nothing is to be made.
 */
export async function takeKey(
  queries: Queries,
  request: IdempotentRequest | undefined,
  resourceId: string,
): Promise<string | undefined> {
  if (request === undefined) return undefined
  const taken = await queries.run(
    `insert into catalog.idempotency_keys (subject, key, request_digest, resource_id) values ($1, $2, $3, $4)
     on conflict on constraint idempotency_keys_pkey do nothing`,
    [request.subject, request.key, request.digest, resourceId],
  )
  return taken === 1 ? undefined : findMade(queries, request)
}
