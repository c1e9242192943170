import type { Isolation, RegionId, Slug, TenantId, TierId } from '@freehold/contract'
import { type DatabaseAddress, deriveEntryKey, type Entry } from '@freehold/postgres'
import type { Route } from './placement-source.ts'

/** What product code may know about its tenant. */
export interface Tenant {
  readonly id: TenantId
  readonly slug: Slug
  readonly tier: TierId
  readonly region: RegionId
  readonly isolation: Isolation
}

/** A route, with what it takes to enter there. */
export class Placement {
  readonly route: Route
  readonly tenant: Tenant
  readonly #secret: string
  #entries: Readonly<Record<Entry['mode'], Entry>> | undefined

  /** The tenant's own schema; undefined where it shares the tables, or has the database to itself. */
  get schema(): string | undefined {
    return this.route.isolation === 'schema' ? this.route.schema : undefined
  }

  constructor(route: Route, entrySecret: string) {
    this.route = route
    this.tenant = Object.freeze({
      id: route.tenantId,
      slug: route.slug,
      tier: route.tier,
      region: route.region,
      isolation: route.isolation,
    })
    this.#secret = entrySecret
  }

  /**
   * The entry as a reader or as a writer; its key is derived once, when it is first needed.
   */
  entry(mode: Entry['mode']): Entry {
    this.#entries ??= this.#deriveEntries()
    return this.#entries[mode]
  }

  #deriveEntries(): Readonly<Record<Entry['mode'], Entry>> {
    const { tenantId, dataDatabaseId, epoch } = this.route
    const { schema } = this
    const entryKey = deriveEntryKey(this.#secret, { tenantId, dataDatabaseId, epoch })
    return {
      reader: { tenantId, entryKey, mode: 'reader', schema },
      writer: { tenantId, entryKey, mode: 'writer', schema },
    }
  }
}

/** Whether two routes lead to the same place with the same rights, so that what was derived stays good. */
export function sameRoute(one: Route, other: Route): boolean {
  return (
    one.epoch === other.epoch &&
    one.dataDatabaseId === other.dataDatabaseId &&
    one.status === other.status &&
    one.tier === other.tier &&
    one.slug === other.slug &&
    one.isolation === other.isolation &&
    one.schema === other.schema &&
    one.region === other.region &&
    sameAddress(one.address, other.address)
  )
}

export function sameAddress(one: DatabaseAddress, other: DatabaseAddress): boolean {
  return (
    one === other ||
    (one.host === other.host &&
      one.port === other.port &&
      one.database === other.database &&
      one.user === other.user &&
      one.password === other.password &&
      one.tls === other.tls)
  )
}
