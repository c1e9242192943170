// What the examples in TSDoc presuppose: a product that has started, and the libraries that it uses.

import type { EventEmitter } from 'node:events'
import type { Catalog } from '@freehold/catalog'
import type { DatabaseAddress } from '@freehold/postgres'
import type { FreeholdDatabase, PlacementSource, Router, TenantId } from '@freehold/tenancy'
import type { MembershipDirectory, TenantDirectory } from '@freehold/tenancy/fastify'
import type { SpanExporter } from '@opentelemetry/sdk-trace-base'
import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import type { Generated, Kysely } from 'kysely'
import type { ClientBase } from 'pg'
import type { Logger } from 'pino'
import type { z } from 'zod'

interface Orders {
  id: Generated<number>
  total: string
}

declare global {
  interface Database {
    orders: Orders
    customers: { id: number; name: string }
    carts: { id: number; abandoned: boolean }
    texts: { name: string; text: string }
  }

  const app: FastifyInstance
  const logger: Logger
  const router: Router<FreeholdDatabase>
  const db: Kysely<Database>
  const source: PlacementSource
  const catalog: Catalog & PlacementSource
  const directory: TenantDirectory & MembershipDirectory
  const client: ClientBase
  const address: DatabaseAddress
  const tenantId: TenantId
  const epoch: number
  const entryKey: string
  const slug: string
  const secret: string
  const entrySecret: string
  const issuer: string
  const audience: string
  const config: {
    readonly DATABASE_URL: string
    readonly CONTROL_URL: string
    readonly REDIS_URL: string
    readonly JWT_SECRET: string
    readonly FREEHOLD_ENTRY_SECRET: string
    readonly FREEHOLD_CATALOG_URL: DatabaseAddress
  }
  const catalogAddress: DatabaseAddress
  const job: { data: { tenantId: string } }
  const europe: Redis
  const america: Redis
  const exporter: SpanExporter
  const histogram: { observe(value: number): void }
  const metrics: { flush(): void }
  const stock: EventEmitter
  const notifyBuyersOf: (item: string) => void
  const ratesSchema: z.ZodRecord<z.ZodString, z.ZodNumber>
  const loadRates: () => Promise<Record<string, number>>
  const send: (to: string, texts: readonly object[]) => Promise<void>
  const Sentry: {
    init(options: {
      beforeSend(event: { tags?: Record<string, string> }): { tags?: Record<string, string> }
    }): void
  }
}

declare module '@freehold/tenancy' {
  interface FreeholdDatabase extends Database {}
}
