import type { DatabaseAddress } from '@freehold/postgres'
import type { PlacementSource, Route } from '../placement/placement-source.ts'

/** A source whose routes lead through poolers: the catalog has the databases' own addresses, which moves need. */
export function throughPooler(
  source: PlacementSource,
  addressOf: (database: DatabaseAddress) => DatabaseAddress,
): PlacementSource {
  const through = (route: Route): Route => ({ ...route, address: addressOf(route.address) })
  const page = source.page?.bind(source)
  const comingHome = source.comingHome?.bind(source)
  return {
    async lookup(tenantId) {
      const route = await source.lookup(tenantId)
      return route && through(route)
    },
    subscribe: (listener) => source.subscribe(listener),
    ...(comingHome && {
      async comingHome(tenantId) {
        const coming = await comingHome(tenantId)
        return coming && { ...coming, address: addressOf(coming.address) }
      },
    }),
    ...(page && {
      async page(after, limit) {
        const { routes, next } = await page(after, limit)
        return { routes: routes.map(through), next }
      },
    }),
  }
}
