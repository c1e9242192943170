import { randomUUID } from 'node:crypto'
import {
  type AddHost,
  FreeholdError,
  hostSchema,
  type PageQuery,
  type TenantHost,
  type TenantHostPage,
} from '@freehold/contract'
import { z } from 'zod'
import type { CatalogDatabase, Queries } from './database.ts'
import { type IdempotentRequest, takeKey } from './idempotency.ts'
import { pageOf, parseCursor } from './pages.ts'
import { withRefusals } from './refusals.ts'
import { instantRow } from './rows.ts'
import { readTenant } from './tenants.ts'

const hostRow = z.object({ id: z.uuid(), host: hostSchema, createdAt: instantRow })

const SELECT_HOSTS = `select id, host, created_at as "createdAt" from catalog.tenant_hosts`

export type HostsCatalog = ReturnType<typeof createHosts>

/** Custom domains of tenants. Routers hear of every change. */
export function createHosts(database: CatalogDatabase) {
  return {
    /**
     * Lets a host lead to a tenant.
     *
     * @returns the host; `created` is false when an earlier sending of the same request added it.
     * @throws FreeholdError `tenant_not_found`, `host_taken`, `idempotency_key_reused`; `host_not_found` when the
     * request is sent again after the host has been removed.
     */
    async add(
      tenant: string,
      { host }: AddHost,
      request?: IdempotentRequest,
    ): Promise<{ host: TenantHost; created: boolean }> {
      const { id: tenantId } = await readTenant(database, tenant)
      const refusals = { host_leads_to_one_tenant: () => taken(host) }
      return withRefusals(refusals, () =>
        database.transaction(async (queries) => {
          const id = randomUUID()
          const made = await takeKey(queries, request, id)
          if (made !== undefined) return { host: await readHost(queries, made), created: false }
          await queries.run('insert into catalog.tenant_hosts (id, host, tenant_id) values ($1, $2, $3)', [
            id,
            host,
            tenantId,
          ])
          return { host: await readHost(queries, id), created: true }
        }),
      )
    },

    /** A tenant's hosts, by name. @throws FreeholdError `tenant_not_found`, `invalid_request` */
    async list(tenant: string, query: PageQuery): Promise<TenantHostPage> {
      const after = parseCursor(hostSchema, query.cursor)
      const { id } = await readTenant(database, tenant)
      const found = await database.all(
        hostRow,
        `${SELECT_HOSTS} where tenant_id = $1 and ($2::text is null or host > $2) order by host limit $3`,
        [id, after, query.limit + 1],
      )
      return pageOf(found, query.limit, ({ host }) => host)
    },

    /** @throws FreeholdError `tenant_not_found`, `host_not_found` */
    async remove(tenant: string, hostId: string): Promise<void> {
      const { id } = await readTenant(database, tenant)
      const sql = 'delete from catalog.tenant_hosts where id = $1 and tenant_id = $2'
      if ((await database.run(sql, [hostId, id])) === 0) throw notFound(hostId)
    },
  }
}

async function readHost(queries: Queries, id: string): Promise<TenantHost> {
  const found = await queries.first(hostRow, `${SELECT_HOSTS} where id = $1`, [id])
  if (found === undefined) throw notFound(id)
  return found
}

function taken(host: string): FreeholdError {
  return new FreeholdError('host_taken', `The host ${host} leads to a tenant already.`, { details: { host } })
}

function notFound(id: string): FreeholdError {
  return new FreeholdError('host_not_found', `The tenant has no host ${id}.`, { details: { host: id } })
}
