import { randomUUID } from 'node:crypto'
import { dataDatabaseIdSchema, type TenantId } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { Kysely, PostgresDialect, type QueryCompiler } from 'kysely'
import pg from 'pg'
import { PredicateCompiler } from '../../../packages/tenancy/src/predicates/predicate-compiler.ts'
import type { TenantPredicates } from '../../../packages/tenancy/src/predicates/tenant-predicates.ts'
import type { PreparedCluster } from '../../kit/control-plane.ts'
import { createDataDatabase } from '../../kit/databases.ts'
import { setResident, type TestDatabase } from '../../kit/tenants.ts'
import { CREATE_TABLES, type FuzzTables, fillStatements, TENANT_TABLES } from './tables.ts'

/** How its tables are protected. */
export type RowSecurity =
  /** As `freehold.protect_table` makes them. */
  | 'protected'
  /** Row security is disabled. */
  | 'disabled'
  /** Row security is enabled, with a policy that lets everything through. */
  | 'permissive'

/** Creates a data database in which all these tenants live, with their rows. */
export async function createSharedDatabase(
  on: PreparedCluster,
  name: string,
  rowSecurity: RowSecurity,
  tenants: readonly TenantId[],
): Promise<TestDatabase> {
  const database = await createTables(on, name)
  for (const tenant of tenants) await setResident(database, tenant)
  await withClient(database.owner, 'test', async (client) => {
    const partitions = ['events_2025', 'events_rest']
    for (const table of rowSecurity === 'protected' ? [] : [...TENANT_TABLES, ...partitions]) {
      await client.query(
        rowSecurity === 'disabled'
          ? `alter table ${table} disable row level security`
          : `alter policy freehold_tenant on ${table} using (true) with check (true)`,
      )
    }
  })
  await refill(database, tenants)
  return database
}

/** Creates a database that holds one tenant alone, without a tenant's plumbing. */
export async function createDatabaseOf(
  on: PreparedCluster,
  name: string,
  tenant: TenantId,
  salt: number,
): Promise<TestDatabase> {
  const database = await createTables(on, name)
  await withClient(database.superuser, 'test', async (client) => {
    for (const table of TENANT_TABLES) {
      await client.query(`alter table ${table} alter tenant_id set default '${tenant}'`)
    }
    await client.query(fillStatements(tenant, salt).join(';\n'))
  })
  return database
}

/** Gives the tenants what they had at the start, each with the salt of its place in the list. */
export async function refill(database: TestDatabase, tenants: readonly (TenantId | null)[]): Promise<void> {
  const fill = tenants.flatMap((tenant, index) => (tenant ? fillStatements(tenant, saltOf(index)) : []))
  const empty = TENANT_TABLES.toReversed().map((table) => `delete from ${table}`)
  await withClient(database.superuser, 'test', (client) => client.query([...empty, ...fill].join(';\n')))
}

/** Tenants differ in it, so the same ids carry other values. */
export const saltOf = (index: number): number => [3, 11][index] ?? 5

async function createTables(on: PreparedCluster, name: string): Promise<TestDatabase> {
  await createDataDatabase(on.cluster, on.passwords, name, { product: false })
  const database: TestDatabase = {
    id: dataDatabaseIdSchema.parse(randomUUID()),
    name,
    app: on.as('freehold_app', name),
    owner: on.as('freehold_owner', name),
    superuser: { ...on.as('freehold_owner', name), ...on.cluster.superuser },
  }
  await withClient(database.owner, 'test', async (client) => {
    await client.query(CREATE_TABLES)
    for (const table of TENANT_TABLES) await client.query('select freehold.protect_table($1)', [table])
  })
  return database
}

/** Kysely and pg, as anybody would set them up, as the superuser. */
export function plainKysely<DB = FuzzTables>(database: TestDatabase): Kysely<DB> {
  return new Kysely<DB>({ dialect: new PostgresDialect({ pool: poolTo(database) }) })
}

/** The same with predicates, and so with nothing but them. */
export function predicateKysely<DB = FuzzTables>(
  database: TestDatabase,
  predicates: TenantPredicates,
): Kysely<DB> {
  return new Kysely<DB>({ dialect: new PredicateDialect(poolTo(database), predicates) })
}

class PredicateDialect extends PostgresDialect {
  readonly #predicates: TenantPredicates

  constructor(pool: pg.Pool, predicates: TenantPredicates) {
    super({ pool })
    this.#predicates = predicates
  }

  override createQueryCompiler(): QueryCompiler {
    return new PredicateCompiler(this.#predicates)
  }
}

function poolTo({ name, superuser: { host, port, user, password } }: TestDatabase): pg.Pool {
  return new pg.Pool({ host, port, user, password, database: name, max: 2 })
}

/** All rows of a tenant, table by table, as text. */
export async function contentOf(database: TestDatabase, tenant: TenantId): Promise<string> {
  return withClient(database.superuser, 'test', async (client) => {
    const tables = TENANT_TABLES.map(
      (table) =>
        `select '${table}' as "table", to_jsonb(t)::text as row from ${table} t where tenant_id = '${tenant}'`,
    )
    const { rows } = await client.query<{ table: string; row: string }>(
      `${tables.join(' union all ')} order by 1, 2`,
    )
    return rows.map(({ table, row }) => `${table} ${row}`).join('\n')
  })
}
