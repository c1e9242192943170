import type { Stack } from '@freehold/local/stack'
import { quoteIdentifier, withClient } from '@freehold/postgres'
import type pg from 'pg'

/**
 * Everything that a refused request must leave as it is: every row of the control database, every database,
 * replication slot and role of each cluster, and the tables, publications and residents of each database that
 * holds tenants.
 */
export async function readStackState(stack: Stack): Promise<Record<string, unknown>> {
  const state: Record<string, unknown> = {}
  await inDatabase(stack, 'us-1', 'freehold_catalog', async (client) => {
    for (const table of await namesOf(client, CATALOG_TABLES)) {
      state[`catalog ${table}`] = await digest(client, `catalog.${quoteIdentifier(table)}`)
    }
  })
  for (const cluster of ['us-1', 'eu-1']) {
    const databases = await inDatabase(stack, cluster, 'postgres', async (client) => {
      state[`${cluster} slots`] = await namesOf(client, 'select slot_name as name from pg_replication_slots')
      state[`${cluster} roles`] = await namesOf(client, 'select rolname as name from pg_roles')
      return namesOf(client, 'select datname as name from pg_database')
    })
    state[`${cluster} databases`] = databases
    for (const name of databases.filter((each) => each === 'pool' || each.startsWith('silo_'))) {
      state[`${cluster} ${name}`] = await inDatabase(stack, cluster, name, readDataDatabase)
    }
  }
  return state
}

const CATALOG_TABLES =
  "select relname as name from pg_class where relnamespace = 'catalog'::regnamespace and relkind = 'r'"

async function readDataDatabase(client: pg.Client) {
  return {
    tables: await namesOf(
      client,
      "select oid::regclass::text as name from pg_class where relkind in ('r', 'p')",
    ),
    publications: await namesOf(client, 'select pubname as name from pg_publication'),
    residents: await digest(client, 'freehold.resident'),
  }
}

/** How many rows a table has, and one text that changes with any of them. */
async function digest(client: pg.Client, table: string): Promise<string> {
  const result = await client.query<{ digest: string }>(
    `select count(*) || ' rows, ' || md5(coalesce(string_agg(t::text, e'\\n' order by t::text), '')) as digest from ${table} t`,
  )
  return result.rows[0]?.digest ?? ''
}

async function namesOf(client: pg.Client, sql: string): Promise<string[]> {
  const result = await client.query<{ name: string }>(`${sql} order by 1`)
  return result.rows.map(({ name }) => name)
}

function inDatabase<T>(
  stack: Stack,
  cluster: string,
  database: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  return withClient(stack.superuserAddress(cluster, database), 'test', work)
}
