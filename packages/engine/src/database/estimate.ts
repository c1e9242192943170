import { quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { asTenant, type TenantScope } from './entered.ts'
import type { TableShape } from './tables.ts'

export interface TableEstimate {
  readonly table: string
  readonly rowsEstimated: number
  readonly bytesEstimated: number
}

/** Rows whose size stands for the others'. */
const SAMPLE_ROWS = 1_000

/** Counts the tenant's rows, and estimates their bytes by a sample of them. */
export async function estimateTables(
  client: ClientBase,
  scope: TenantScope,
  tables: readonly TableShape[],
): Promise<TableEstimate[]> {
  return asTenant(client, scope, async () => {
    const estimates: TableEstimate[] = []
    for (const shape of tables) {
      const table = quoteTable(shape.table)
      const result = await client.query<{ rows: string; row_bytes: string | null }>(
        `select (select count(*) from ${table}) as rows,
           (select avg(pg_column_size(sample)) from (select * from ${table} limit ${SAMPLE_ROWS}) sample) as row_bytes`,
      )
      const rows = Number(result.rows[0]?.rows ?? 0)
      estimates.push({
        table: shape.key,
        rowsEstimated: rows,
        bytesEstimated: Math.round(rows * Number(result.rows[0]?.row_bytes ?? 0)),
      })
    }
    return estimates
  })
}
