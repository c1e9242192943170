import { randomUUID } from 'node:crypto'
import {
  dataDatabaseIdSchema,
  epochSchema,
  regionIdSchema,
  slugSchema,
  type TenantId,
  tenantIdSchema,
  tierIdSchema,
} from '@freehold/contract'
import type { PlacementSource, Route } from '@freehold/tenancy'

const TENANTS_PER_DATABASE = 5_000

/** A catalog of tenants in pools, in memory. */
export interface BigCatalog {
  readonly ids: readonly TenantId[]
  readonly source: PlacementSource
}

/**
 * Makes a catalog whose answers weigh what the real one's do: every string of every answer is a string of its own,
 * as those are that have been read from a socket.
 */
export function bigCatalog(tenants: number): BigCatalog {
  const ids = Array.from({ length: tenants }, () => tenantIdSchema.parse(randomUUID()))
  const databases = Array.from({ length: Math.ceil(tenants / TENANTS_PER_DATABASE) }, () => randomUUID())
  const numbers = new Map(ids.map((id, number) => [id, number]))
  return {
    ids,
    source: {
      async lookup(tenantId) {
        const number = numbers.get(tenantId)
        return number === undefined ? null : route(tenantId, number, databases)
      },
      subscribe: async () => async () => undefined,
    },
  }
}

function route(tenantId: TenantId, number: number, databases: readonly string[]): Route {
  const database = Math.floor(number / TENANTS_PER_DATABASE)
  return {
    tenantId: tenantIdSchema.parse(freshString(tenantId)),
    slug: slugSchema.parse(freshString(`customer-${number}`)),
    status: 'active',
    tier: tierIdSchema.parse(freshString('free')),
    epoch: epochSchema.parse(1),
    isolation: 'pool',
    schema: freshString('public'),
    dataDatabaseId: dataDatabaseIdSchema.parse(freshString(databases[database] ?? '')),
    region: regionIdSchema.parse(freshString('eu-central')),
    address: {
      host: freshString('10.0.0.17'),
      port: 5432,
      database: freshString(`pool_${database}`),
      user: 'freehold_app',
      password: freshString('a password of some length'),
      tls: 'verify-full',
    },
  }
}

/** The same text in a string that shares nothing and whose hash nobody has computed yet. */
export function freshString<T extends string>(text: T): T
export function freshString(text: string): string {
  return Buffer.from(text).toString('latin1')
}
