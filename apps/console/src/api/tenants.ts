import {
  type CreateTenant,
  type Tenant,
  type TenantDetail,
  type TenantPage,
  tenantDetailSchema,
  tenantPageSchema,
  tenantSchema,
} from '@freehold/contract'
import { queryString } from './query-string.ts'
import { request } from './request.ts'

export interface TenantFilter {
  readonly search: string
  readonly cursor: string | undefined
}

const PAGE_SIZE = 25

export function listTenants(filter: TenantFilter, signal: AbortSignal): Promise<TenantPage> {
  const query = queryString({ search: filter.search || undefined, limit: PAGE_SIZE, cursor: filter.cursor })
  return request(`/v1/tenants${query}`, tenantPageSchema, { signal })
}

export function getTenant(idOrSlug: string, signal: AbortSignal): Promise<TenantDetail> {
  return request(`/v1/tenants/${encodeURIComponent(idOrSlug)}`, tenantDetailSchema, { signal })
}

export function createTenant(body: CreateTenant, idempotencyKey: string): Promise<Tenant> {
  return request('/v1/tenants', tenantSchema, {
    method: 'POST',
    body,
    headers: { 'idempotency-key': idempotencyKey },
  })
}
