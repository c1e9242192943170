import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { getTenant, listTenants, type TenantFilter } from './tenants.ts'

const CALM_MILLISECONDS = 10_000
const BUSY_MILLISECONDS = 1500

export function useTenants(filter: TenantFilter) {
  return useQuery({
    queryKey: ['tenants', 'list', filter],
    queryFn: ({ signal }) => listTenants(filter, signal),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) =>
      state.data?.items.some((tenant) => tenant.activeMoveId !== null)
        ? BUSY_MILLISECONDS
        : CALM_MILLISECONDS,
  })
}

export function useTenant(idOrSlug: string) {
  return useQuery({
    queryKey: ['tenants', 'detail', idOrSlug],
    queryFn: ({ signal }) => getTenant(idOrSlug, signal),
    refetchInterval: ({ state }) => (state.data?.activeMoveId ? BUSY_MILLISECONDS : CALM_MILLISECONDS),
  })
}
