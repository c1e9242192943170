import { type DatabaseAddress, withClient } from '@freehold/postgres'

export interface TenantTable {
  readonly table: string
  /** As in SQL, without those that are computed. */
  readonly columns: string
}

/** The tables of a data database that belong to tenants. */
export function tenantTables(database: DatabaseAddress): Promise<TenantTable[]> {
  return withClient(database, 'bench', async (client) => {
    const { rows } = await client.query<TenantTable>(
      `select relation::text as table, string_agg(quote_ident(attname), ', ' order by attnum) as columns
       from freehold.managed_table
       join pg_attribute on attrelid = relation and attnum > 0 and not attisdropped and attgenerated = ''
       where kind = 'tenant' group by relation order by 1`,
    )
    return rows
  })
}

/** All rows of some tables. */
export function countRows(database: DatabaseAddress, tables: readonly TenantTable[]): Promise<number> {
  return withClient(database, 'bench', async (client) => {
    const counts = tables.map(({ table }) => `(select count(*) from ${table})`).join(' + ')
    const { rows } = await client.query<{ rows: string }>(`select ${counts} as rows`)
    return Number(rows[0]?.rows)
  })
}
