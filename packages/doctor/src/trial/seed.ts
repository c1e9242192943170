import pg, { type ClientBase } from 'pg'
import type { Facts, ForeignKey, Table } from '../facts/model.ts'
import { keysOf, seedingOrder } from './order.ts'
import { allAsText, type Made, type Row, seedRow } from './seed-row.ts'
import { enter, moveIn, moveOut, type SyntheticTenant, type TenantPair } from './synthetic-tenants.ts'

/** A tenant table in which each of two tenants has a row. */
export interface Seeded {
  readonly table: Table
  readonly pair: TenantPair
  readonly rows: Readonly<Record<'A' | 'B', Row>>
}

export interface Seeding {
  readonly seeded: readonly Seeded[]
  /** Tables in which no rows could be made, and why. */
  readonly failures: readonly { readonly table: Table; readonly reason: string }[]
}

/** Makes a row of each tenant in every tenant table, and what those rows refer to. */
export async function seedTables(
  client: ClientBase,
  facts: Facts,
  pairFor: (table: Table) => TenantPair | undefined,
): Promise<Seeding> {
  const rows = new Map<number, Partial<Record<'A' | 'B', Row>>>()
  const seeded: Seeded[] = []
  const failures: { table: Table; reason: string }[] = []
  const needed = neededTables(facts)
  for (const table of seedingOrder(facts).filter(({ oid }) => needed.has(oid))) {
    const pair = pairFor(table)
    if (!pair) {
      failures.push({ table, reason: 'no two values can be made up for the type of its tenant column' })
      continue
    }
    const own: Partial<Record<'A' | 'B', Row>> = {}
    rows.set(table.oid, own)
    for (const tenant of pair) {
      await enter(client, facts, tenant)
      const made = await atHome(client, facts, table, tenant, () =>
        rowFor(client, facts, table, tenant, rows),
      )
      if (made.row === null) {
        if (table.tenantColumn !== null) failures.push({ table, reason: made.reason })
        break
      }
      own[tenant.name] = made.row
    }
    if (own.A && own.B && table.tenantColumn !== null)
      seeded.push({ table, pair, rows: { A: own.A, B: own.B } })
  }
  await enter(client, facts, null)
  return { seeded, failures }
}

/** In the schema of one tenant nobody can make a row who does not live there. */
async function atHome(
  client: ClientBase,
  facts: Facts,
  table: Table,
  tenant: SyntheticTenant,
  make: () => Promise<Made>,
): Promise<Made> {
  if (!facts.tenantSchemas?.includes(table.schema)) return make()
  await client.query('savepoint freehold_home')
  try {
    await moveIn(client, tenant, table.schema)
  } catch (error) {
    await client.query('rollback to savepoint freehold_home')
    if (!(error instanceof pg.DatabaseError)) throw error
    return { row: null, reason: `nobody could be made to live in its schema: ${error.message}` }
  }
  const made = await make()
  await moveOut(client, tenant)
  return made
}

/** Tenant tables, and whatever they refer to. */
function neededTables(facts: Facts): Set<number> {
  const needed = new Set(
    facts.tables.filter(({ tenantColumn }) => tenantColumn !== null).map(({ oid }) => oid),
  )
  for (const table of seedingOrder(facts).toReversed()) {
    if (!needed.has(table.oid)) continue
    for (const { target } of keysOf(facts, table)) needed.add(target)
  }
  return needed
}

async function rowFor(
  client: ClientBase,
  facts: Facts,
  table: Table,
  tenant: SyntheticTenant,
  rows: ReadonlyMap<number, Partial<Record<'A' | 'B', Row>>>,
): Promise<Made> {
  if (table.kind === 'reference' || table.kind === 'undeclared') {
    const existing = await existingRow(client, table)
    if (existing) return { row: existing }
  }
  const given: Record<string, string> = {}
  if (table.kind === 'registry') for (const name of registryColumns(facts, table)) given[name] = tenant.id
  if (table.tenantColumn !== null) given[table.tenantColumn] = tenant.id
  for (const key of keysOf(facts, table)) {
    const parent = key.target === table.oid ? undefined : rows.get(key.target)?.[tenant.name]
    Object.assign(given, parent ? referring(key, parent, given) : {})
  }
  return seedRow(client, facts, table, given)
}

/** The columns of a key that leads to a row; those that are settled stay. */
export function referring(
  key: ForeignKey,
  parent: Row,
  given: Readonly<Record<string, string>>,
): Record<string, string> {
  const values: Record<string, string> = {}
  key.columns.forEach((name, at) => {
    const value = parent[key.targetColumns[at] ?? '']
    if (value != null && !(name in given)) values[name] = value
  })
  return values
}

function registryColumns(facts: Facts, table: Table): string[] {
  return facts.foreignKeys
    .filter((key) => key.target === table.oid && key.columns.length === 1)
    .filter((key) =>
      facts.tables.some(({ oid, tenantColumn }) => oid === key.table && tenantColumn === key.columns[0]),
    )
    .flatMap(({ targetColumns }) => targetColumns)
}

async function existingRow(client: ClientBase, table: Table): Promise<Row | undefined> {
  await client.query('savepoint freehold_seed')
  try {
    const { rows } = await client.query<Row>(`select ${allAsText(table)} from ${table.sql} limit 1`)
    return rows[0]
  } catch {
    return undefined
  } finally {
    await client.query('rollback to savepoint freehold_seed')
  }
}
