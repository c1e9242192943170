import { Placement, sameAddress } from './placement.ts'
import type { Route } from './placement-source.ts'

type DatabaseOfRoute = Pick<Route, 'dataDatabaseId' | 'address'>

/**
 * Makes placements that share what they have in common: one address a database and one string a name, where a
 * catalog hands over new ones for every tenant.
 */
export class PlacementFactory {
  readonly #entrySecret: string
  readonly #databases = new Map<string, DatabaseOfRoute>()
  readonly #names = new Map<string, string>()

  constructor(entrySecret: string) {
    this.#entrySecret = entrySecret
  }

  place(route: Route): Placement {
    const { tenantId, slug, epoch, isolation, schema } = route
    const shared: Route = {
      tenantId,
      slug,
      epoch,
      isolation: this.#name(isolation),
      status: this.#name(route.status),
      tier: this.#name(route.tier),
      // A schema of the tenant's own is nobody else's.
      schema: isolation === 'schema' ? schema : this.#name(schema),
      region: this.#name(route.region),
      ...this.#database(route),
    }
    return new Placement(shared, this.#entrySecret)
  }

  #name<T extends string>(name: T): T {
    const known = this.#names.get(name)
    if (known === undefined) this.#names.set(name, name)
    // The same characters, so the same type.
    return (known ?? name) as T
  }

  #database({ dataDatabaseId, address }: Route): DatabaseOfRoute {
    const known = this.#databases.get(dataDatabaseId)
    if (known && sameAddress(known.address, address)) return known
    const own = { dataDatabaseId, address }
    this.#databases.set(dataDatabaseId, own)
    return own
  }
}
