import { createHash, randomBytes, randomUUID } from 'node:crypto'
import {
  API_KEY_MARK,
  type ApiKey,
  type ApiKeyPage,
  type CreateApiKey,
  type CreatedApiKey,
  FreeholdError,
  type PageQuery,
  scopeSchema,
} from '@freehold/contract'
import { z } from 'zod'
import type { CatalogDatabase, Queries } from './database.ts'
import { type IdempotentRequest, takeKey } from './idempotency.ts'
import { pageOf, parseCursor } from './pages.ts'
import { withRefusals } from './refusals.ts'
import { instantRow } from './rows.ts'
import { readTenant } from './tenants.ts'

const PREFIX_BYTES = 8
const SECRET_BYTES = 32

const apiKeyRow = z.object({
  id: z.uuid(),
  name: z.string(),
  prefix: z.string(),
  scopes: z.array(scopeSchema),
  createdBy: z.string(),
  createdAt: instantRow,
  expiresAt: instantRow.nullable(),
  revokedAt: instantRow.nullable(),
})

const SELECT_API_KEYS = `
  select id, name, prefix, scopes, created_by as "createdBy", created_at as "createdAt",
    expires_at as "expiresAt", revoked_at as "revokedAt"
  from catalog.api_keys`

export type ApiKeysCatalog = ReturnType<typeof createApiKeys>

/** Keys with which programs act as a tenant. Only their digests are kept. Routers hear of every change. */
export function createApiKeys(database: CatalogDatabase) {
  return {
    /**
     * Makes a key for a tenant. The key itself is in this answer and nowhere else, ever.
     *
     * @returns the key; `created` is false, and the key itself null, when an earlier sending of the same request
     * made it.
     * @throws FreeholdError `tenant_not_found`, `idempotency_key_reused`; `invalid_request` when it would have
     * expired already.
     */
    async create(
      tenant: string,
      { name, scopes, expiresAt }: CreateApiKey,
      createdBy: string,
      request?: IdempotentRequest,
    ): Promise<{ apiKey: CreatedApiKey; created: boolean }> {
      const { id: tenantId } = await readTenant(database, tenant)
      const refusals = { api_key_expires_after_it_was_made: expiredAlready }
      return withRefusals(refusals, () =>
        database.transaction(async (queries) => {
          const id = randomUUID()
          const made = await takeKey(queries, request, id)
          if (made !== undefined) {
            return { apiKey: { ...(await readApiKey(queries, made)), key: null }, created: false }
          }
          const { prefix, key } = newKey()
          await queries.run(
            `insert into catalog.api_keys (id, tenant_id, name, prefix, digest, scopes, created_by, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)`,
            [
              id,
              tenantId,
              name,
              prefix,
              createHash('sha256').update(key).digest(),
              scopes,
              createdBy,
              expiresAt,
            ],
          )
          return { apiKey: { ...(await readApiKey(queries, id)), key }, created: true }
        }),
      )
    },

    /** A tenant's keys, newest first, revoked ones too. @throws FreeholdError `tenant_not_found`, `invalid_request` */
    async list(tenant: string, query: PageQuery): Promise<ApiKeyPage> {
      const after = parseCursor(z.uuid(), query.cursor)
      const { id } = await readTenant(database, tenant)
      const found = await database.all(
        apiKeyRow,
        `${SELECT_API_KEYS}
         where tenant_id = $1 and ($2::uuid is null or (created_at, id) <
           (select created_at, id from catalog.api_keys where id = $2 and tenant_id = $1))
         order by created_at desc, id desc limit $3`,
        [id, after, query.limit + 1],
      )
      return pageOf(found, query.limit, (key) => key.id)
    },

    /**
     * Takes a key away, for good. Safe to repeat: the time of the first revocation stays.
     *
     * @throws FreeholdError `tenant_not_found`, `api_key_not_found`
     */
    async revoke(tenant: string, apiKeyId: string): Promise<ApiKey> {
      const { id } = await readTenant(database, tenant)
      const sql = `update catalog.api_keys set revoked_at = coalesce(revoked_at, clock_timestamp())
        where id = $1 and tenant_id = $2`
      if ((await database.run(sql, [apiKeyId, id])) === 0) throw notFound(apiKeyId)
      return readApiKey(database, apiKeyId)
    },
  }
}

function newKey(): { prefix: string; key: string } {
  const prefix = randomBytes(PREFIX_BYTES).toString('hex')
  return { prefix, key: `${API_KEY_MARK}${prefix}_${randomBytes(SECRET_BYTES).toString('base64url')}` }
}

async function readApiKey(queries: Queries, id: string): Promise<ApiKey> {
  const found = await queries.first(apiKeyRow, `${SELECT_API_KEYS} where id = $1`, [id])
  if (found === undefined) throw notFound(id)
  return found
}

function expiredAlready(): FreeholdError {
  return new FreeholdError('invalid_request', undefined, {
    issues: [{ path: 'body/expiresAt', message: 'must be in the future' }],
  })
}

function notFound(id: string): FreeholdError {
  return new FreeholdError('api_key_not_found', `The tenant has no API key ${id}.`, {
    details: { apiKey: id },
  })
}
