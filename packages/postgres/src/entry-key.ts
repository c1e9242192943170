import { createHash, createHmac } from 'node:crypto'

/** The placement that an entry key opens. */
export interface EntryScope {
  readonly tenantId: string
  readonly dataDatabaseId: string
  readonly epoch: number
}

/**
 * Derives the key with which routers and movers enter a data database as a tenant. Row security recognises a
 * tenant by this key and not by its id: an id can be set by any SQL, a key of 256 bits cannot be guessed, so SQL
 * that runs as one tenant cannot become another. HMAC-SHA-256 (RFC 2104) over the placement; nothing is stored
 * but the digest of the key, in the data database itself.
 *
 * @param secret the deployment's FREEHOLD_ENTRY_SECRET, known to routers, workers and the control API.
 */
export function deriveEntryKey(secret: string, scope: EntryScope): string {
  return createHmac('sha256', secret)
    .update(JSON.stringify(['freehold-entry-1', scope.tenantId, scope.dataDatabaseId, scope.epoch]))
    .digest('base64url')
}

/** What `freehold.resident.entry_digest` holds for a key. */
export function entryDigest(entryKey: string): Buffer {
  return createHash('sha256').update(entryKey, 'utf8').digest()
}
