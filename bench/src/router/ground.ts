import {
  prepareCluster,
  randomRolePasswords,
  startTemporaryCluster,
  type TemporaryCluster,
} from '@freehold/local'
import { type DatabaseAddress, withClient } from '@freehold/postgres'
import type { PlacementSource } from '@freehold/tenancy'
import type { ClientBase } from 'pg'
import { asRole } from '../../../test/kit/databases.ts'
import {
  ControlledSource,
  createItemsDatabase,
  newTenantId,
  setResident,
  type TestDatabase,
} from '../../../test/kit/tenants.ts'
import { FIRST_NEW_ID, firstId, type Rows } from './rows.ts'
import { moreTables, tableNames } from './tables-sql.ts'

/** Room for every system's connections at once. */
const MAX_CONNECTIONS = 1_000
/** Noise that no system is to blame for. */
const SETTINGS = { autovacuum: 'off', max_connections: `${MAX_CONNECTIONS}`, max_wal_size: '4GB' }

/** What has been written to a table since the rows were loaded. */
interface Writes {
  readonly inserted: number
  readonly updated: number
}

/** A server of its own with the same rows in a table for each system. */
export interface Ground {
  readonly rows: Rows
  /** The data database as the application's role, whom row security binds. */
  readonly address: DatabaseAddress
  /** Process id of the server; its children are the connections. */
  readonly serverPid: number
  /** The catalog of the router: every tenant lives in the one database, reached by this address. */
  placements(address: DatabaseAddress): PlacementSource
  writes(table: string): Promise<Writes>
  /** Takes out what was written, and what it has left behind. */
  reset(table: string): Promise<void>
  remove(): Promise<void>
}

/** Starts a temporary server and loads `tenants` times `rowsPerTenant` rows into every table. */
export async function prepareGround(tenants: number, rowsPerTenant: number): Promise<Ground> {
  const cluster = await startTemporaryCluster('bench', SETTINGS)
  try {
    return await load(cluster, tenants, rowsPerTenant)
  } catch (error) {
    await cluster.remove()
    throw error
  }
}

async function load(cluster: TemporaryCluster, tenants: number, rowsPerTenant: number): Promise<Ground> {
  const passwords = await randomRolePasswords()
  await prepareCluster(cluster, passwords)
  const database = await createItemsDatabase(
    { cluster, passwords, as: (role, name) => asRole(cluster, passwords, role, name) },
    'bench',
  )
  const rows: Rows = {
    tenants: Array.from({ length: tenants }, () => newTenantId()),
    rowsPerTenant,
  }
  await fill(database, rows)
  for (const tenant of rows.tenants) await setResident(database, tenant)
  const asSuperuser = <T>(work: (client: ClientBase) => Promise<T>) =>
    withClient(database.superuser, 'bench', work)

  return {
    rows,
    address: database.app,
    serverPid: cluster.pid,
    placements(address) {
      const source = new ControlledSource()
      for (const tenant of rows.tenants) source.place(database, tenant, { address })
      return source
    },
    writes: (table) =>
      asSuperuser(async (client) => {
        const { rows: counts } = await client.query<Writes>(
          `select (count(*) - $1)::int as inserted, sum(quantity)::int as updated from ${table}`,
          [tenants * rowsPerTenant],
        )
        return counts[0] ?? { inserted: 0, updated: 0 }
      }),
    reset: (table) =>
      asSuperuser(async (client) => {
        await client.query(`delete from ${table} where id >= $1`, [FIRST_NEW_ID])
        await client.query(`update ${table} set quantity = 0 where quantity <> 0`)
        await client.query(`vacuum (analyze) ${table}`)
      }),
    remove: () => cluster.remove(),
  }
}

async function fill(database: TestDatabase, rows: Rows): Promise<void> {
  await withClient(database.owner, 'bench', async (client) => {
    for (const sql of moreTables) await client.query(sql)
  })
  await withClient(database.superuser, 'bench', async (client) => {
    for (const table of tableNames) {
      await client.query(
        `insert into ${table} (tenant_id, id, name)
         select tenant_id, id, 'item ' || id
         from unnest($1::uuid[], $2::int[]) as tenant (tenant_id, first_id),
           lateral generate_series(first_id, first_id + $3::int - 1) id`,
        [rows.tenants, rows.tenants.map((_, index) => firstId(index)), rows.rowsPerTenant],
      )
    }
    await client.query('vacuum (analyze)')
    await client.query('checkpoint')
  })
}
