import { randomUUID } from 'node:crypto'
import {
  type DataDatabaseId,
  dataDatabaseIdSchema,
  epochSchema,
  regionIdSchema,
  slugSchema,
  type TenantId,
  tenantIdSchema,
  tierIdSchema,
} from '@freehold/contract'
import {
  type DatabaseAddress,
  deriveEntryKey,
  entryDigest,
  quoteIdentifier,
  withClient,
} from '@freehold/postgres'
import type { ComingHome, PlacementListener, PlacementSource, Route } from '@freehold/tenancy'
import type { Generated } from 'kysely'
import type pg from 'pg'
import type { PreparedCluster } from './control-plane.ts'
import { createDataDatabase } from './databases.ts'

declare module '@freehold/tenancy' {
  interface FreeholdDatabase {
    items: { tenant_id: Generated<string>; id: number; name: string; quantity: Generated<number> }
  }
}

/** The entry secret of tests. */
export const testEntrySecret = 'an entry secret that is only good for tests'

export type ResidencyState = 'standby' | 'frozen' | 'active' | 'fenced' | 'sealed' | 'moved'

/** A data database with one protected table of its own, `items`, and a free hand over who lives there. */
export interface TestDatabase {
  readonly id: DataDatabaseId
  readonly name: string
  /** As the application's role. */
  readonly app: DatabaseAddress
  /** As the owner, to whom row security applies as well. */
  readonly owner: DatabaseAddress
  /** As the superuser, whom row security does not stop. */
  readonly superuser: DatabaseAddress
}

/** The column that says whose a row is. */
export interface TenantColumn {
  readonly name: string
  readonly type: 'uuid' | 'bigint' | 'text'
}

const TENANT_ID: TenantColumn = { name: 'tenant_id', type: 'uuid' }

/** Creates a data database with the table `items (tenant_id, id, name, quantity)`. */
export async function createItemsDatabase(
  on: PreparedCluster,
  name: string,
  column = TENANT_ID,
): Promise<TestDatabase> {
  await createDataDatabase(on.cluster, on.passwords, name, { product: false })
  const database: TestDatabase = {
    id: dataDatabaseIdSchema.parse(randomUUID()),
    name,
    app: on.as('freehold_app', name),
    owner: on.as('freehold_owner', name),
    superuser: { ...on.as('freehold_owner', name), ...on.cluster.superuser },
  }
  await withClient(database.owner, 'test-kit', (client) => createItems(client, column))
  return database
}

/** Gives a tenant of the database a schema of its own, with an empty table `items` in it. */
export async function createOwnSchema(
  database: TestDatabase,
  schema: string,
  column = TENANT_ID,
): Promise<void> {
  await withClient(database.owner, 'test-kit', async (client) => {
    await client.query('select freehold.create_tenant_schema($1)', [schema])
    await client.query(`select set_config('search_path', quote_ident($1), false)`, [schema])
    await createItems(client, column)
  })
}

async function createItems(client: pg.Client, { name, type }: TenantColumn): Promise<void> {
  await client.query(`create table items (
    ${quoteIdentifier(name)} ${type} not null,
    id integer not null,
    name text not null,
    quantity integer not null default 0,
    primary key (${quoteIdentifier(name)}, id)
  )`)
  await client.query(`select freehold.protect_table('items', $1)`, [name])
}

export function newTenantId(): TenantId {
  return tenantIdSchema.parse(randomUUID())
}

/** The key with which a tenant enters a database. */
export function testEntryKey(database: TestDatabase, tenantId: TenantId, epoch = 1): string {
  return deriveEntryKey(testEntrySecret, { tenantId, dataDatabaseId: database.id, epoch })
}

/**
 * Makes a tenant a resident of a database, or changes its residency there. A fence lasts a minute.
 *
 * @param schema its own schema; null: the shared tables.
 */
export async function setResident(
  database: TestDatabase,
  tenantId: TenantId,
  state: ResidencyState = 'active',
  epoch = 1,
  schema: string | null = null,
): Promise<void> {
  const fenceToken = state === 'fenced' || state === 'sealed' ? randomUUID() : null
  await withClient(database.owner, 'test-kit', (client) =>
    client.query(
      `insert into freehold.resident (tenant_id, epoch, entry_digest, state, fence_token, fence_expires_at, schema_name)
       values ($1, $2, $3, $4::text::freehold.residency_state, $5, case when $4::text = 'fenced' then clock_timestamp() + interval '1 minute' end, $6)
       on conflict on constraint one_residency_per_schema do update set epoch = excluded.epoch, entry_digest = excluded.entry_digest,
         state = excluded.state, fence_token = excluded.fence_token, fence_expires_at = excluded.fence_expires_at`,
      [tenantId, epoch, entryDigest(testEntryKey(database, tenantId, epoch)), state, fenceToken, schema],
    ),
  )
}

/** Where a tenant is about to live: a silo, at its second epoch, unless told otherwise. */
export function homeAt(
  database: Pick<TestDatabase, 'id' | 'app'>,
  tenantId: TenantId,
  changes: Partial<Route> = {},
): ComingHome {
  const route = routeTo(database, tenantId, { isolation: 'silo', epoch: epochSchema.parse(2), ...changes })
  const { tenantId: _, slug, status, tier, ...home } = route
  return home
}

/** The route to a tenant that lives in a database. */
export function routeTo(
  database: Pick<TestDatabase, 'id' | 'app'>,
  tenantId: TenantId,
  changes: Partial<Route> = {},
): Route {
  return {
    tenantId,
    slug: slugSchema.parse(`t-${tenantId.slice(0, 8).toLowerCase().replaceAll('_', '-')}`),
    status: 'active',
    tier: tierIdSchema.parse('free'),
    epoch: epochSchema.parse(1),
    isolation: 'pool',
    schema: 'public',
    dataDatabaseId: database.id,
    region: regionIdSchema.parse('us-east'),
    address: database.app,
    ...changes,
  }
}

/**
 * A catalog in memory. Routes change without anybody hearing of it until {@link announce} is called, so a router
 * can be left with placements that are out of date.
 */
export class ControlledSource implements PlacementSource {
  readonly routes = new Map<TenantId, Route>()
  /** Where tenants are about to move. */
  readonly coming = new Map<TenantId, ComingHome>()
  readonly #listeners = new Set<PlacementListener>()
  /** Look-ups so far. */
  lookups = 0
  /** Set: look-ups and subscriptions fail with it. */
  failure: Error | undefined
  /** Set: look-ups wait for it. */
  gate: Promise<void> | undefined

  async lookup(tenantId: TenantId): Promise<Route | null> {
    this.lookups++
    const route = this.routes.get(tenantId) ?? null
    await this.gate
    if (this.failure) throw this.failure
    return route
  }

  async comingHome(tenantId: TenantId): Promise<ComingHome | null> {
    if (this.failure) throw this.failure
    return this.coming.get(tenantId) ?? null
  }

  async subscribe(listener: PlacementListener): Promise<() => Promise<void>> {
    if (this.failure) throw this.failure
    this.#listeners.add(listener)
    return async () => {
      this.#listeners.delete(listener)
    }
  }

  /** Puts a tenant somewhere, silently. */
  place(database: TestDatabase, tenantId: TenantId, changes: Partial<Route> = {}): void {
    this.routes.set(tenantId, routeTo(database, tenantId, changes))
  }

  announce(change: Parameters<PlacementListener>[0]): void {
    for (const listener of this.#listeners) listener(change)
  }
}
