import { type DatabaseAddress, withClient } from '@freehold/postgres'
import { patiently } from './patiently.ts'

/**
 * Everything a tenant has in a database, by table, as text: for a comparison that shares nothing with the engine's
 * verifier. Tables in which it has no rows are left out.
 */
export async function tenantContent(
  superuser: DatabaseAddress,
  tenantId: string,
): Promise<Record<string, string[]>> {
  return patiently(() =>
    withClient(superuser, 'test', async (client) => {
      const tables = await client.query<{ relation: string }>(
        "select relation::text from freehold.managed_table join pg_class on oid = relation where kind = 'tenant' order by 1",
      )
      const content: Record<string, string[]> = {}
      for (const { relation } of tables.rows) {
        const rows = await client.query<{ row: string }>(
          `select to_jsonb(t)::text as row from ${relation} t where tenant_id = $1 order by 1`,
          [tenantId],
        )
        if (rows.rows.length > 0) content[relation] = rows.rows.map(({ row }) => row)
      }
      return content
    }),
  )
}
