import { FreeholdError } from '@freehold/contract'
import { type DatabaseAddress, parseDatabaseUrl, quoteIdentifier, withClient } from '@freehold/postgres'
import { CompiledQuery, sql } from 'kysely'
import { leavesOf } from './leaves.ts'
import type { TestTenant } from './two-tenants.ts'

/** A table in which tenants have rows. */
export interface TenantTable {
  /** As SQL names it, quoted where it must be. */
  readonly name: string
  readonly column: string
}

/** All that a tenant has. */
export interface TenantContent {
  readonly rows: number
  /** One text a row, by table: equal if and only if nothing has changed. */
  readonly state: ReadonlyMap<string, readonly string[]>
  /** Every value that can be recognised, and where it stands. */
  readonly values: ReadonlyMap<string, string>
}

/** Reads what a tenant has. */
export type ReadContent = (tenant: TestTenant) => Promise<TenantContent>

/** The tables that the migrations have declared, as the tenant's own session knows them. */
export async function readTenantTables(tenant: TestTenant): Promise<TenantTable[]> {
  const { rows } = await sql<TenantTable>`
    select managed_table.relation::text as name, managed_table.tenant_column::text as column
    from freehold.managed_table
    where managed_table.kind = 'tenant'
      and has_any_column_privilege(managed_table.relation::oid, 'SELECT') order by 1`.execute(tenant.db)
  return rows
}

/** Reads through the tenant's own eyes: what row security shows it. */
export function throughOwnEyes(tables: readonly TenantTable[], minimumLength: number): ReadContent {
  return async ({ db }) => {
    const content = new Map<string, readonly object[]>()
    for (const { name } of tables) {
      const { rows } = await db.executeQuery<object>(CompiledQuery.raw(`select * from ${name}`))
      content.set(name, rows)
    }
    return toContent(content, minimumLength)
  }
}

/**
 * Reads past row security.
 *
 * @throws FreeholdError `config_invalid` when the role is bound by it.
 */
export function pastRowSecurity(
  address: string | DatabaseAddress,
  tables: readonly TenantTable[],
  minimumLength: number,
): ReadContent {
  const at = typeof address === 'string' ? parseDatabaseUrl(address) : address
  return ({ id }) =>
    withClient(at, 'freehold-testing', async (client) => {
      const role = await client.query<{ free: boolean }>(
        'select rolsuper or rolbypassrls as free from pg_roles where rolname = current_user',
      )
      if (role.rows[0]?.free !== true) {
        throw new FreeholdError(
          'config_invalid',
          `${at.user} is bound by row security. Give a role that is not, or leave superuser out.`,
        )
      }
      const content = new Map<string, readonly object[]>()
      for (const { name, column } of tables) {
        const { rows } = await client.query<object>(
          `select * from ${name} where ${quoteIdentifier(column)}::text = $1`,
          [id],
        )
        content.set(name, rows)
      }
      return toContent(content, minimumLength)
    })
}

async function toContent(
  content: ReadonlyMap<string, readonly object[]>,
  minimumLength: number,
): Promise<TenantContent> {
  const state = new Map<string, readonly string[]>()
  const values = new Map<string, string>()
  let count = 0
  for (const [table, rows] of content) {
    count += rows.length
    state.set(table, rows.map((row) => JSON.stringify(row, bigintAsText)).toSorted())
    for (const row of rows) {
      for await (const { text, path } of leavesOf(row)) {
        if (text.length >= minimumLength) values.set(text, `${table}.${path}`)
      }
    }
  }
  return { rows: count, state, values }
}

const bigintAsText = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? String(value) : value
