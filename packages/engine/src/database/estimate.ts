import { quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { asTenant, type TenantScope } from './entered.ts'
import type { TableShape } from './tables.ts'

export interface TableEstimate {
  readonly table: string
  readonly rowsEstimated: number
  readonly bytesEstimated: number
  /** With indexes and what else the rows bring with them. */
  readonly diskBytesEstimated: number
}

/** Rows whose size stands for the others'. */
const SAMPLE_ROWS = 1_000

/** Below this, how much of a table is indexes says nothing about how much of a larger one will be. */
const TELLING_BYTES = 1_000_000
const USUAL_SHARE = 2
const LARGEST_SHARE = 5

/**
 * Counts the tenant's rows, and estimates their bytes by a sample of them and by the table that they are in.
 *
 * @param counted rows by table, where they have been counted before: as good as an estimate.
 */
export async function estimateTables(
  client: ClientBase,
  scope: TenantScope,
  tables: readonly TableShape[],
  counted: ReadonlyMap<string, number> = new Map(),
): Promise<TableEstimate[]> {
  return asTenant(client, scope, async () => {
    const estimates: TableEstimate[] = []
    for (const shape of tables) {
      const table = quoteTable(shape.table)
      const rows = counted.get(shape.key)
      const result = await client.query<{
        rows: string
        row_bytes: string | null
        heap_bytes: string
        all_bytes: string
      }>(
        `select ${rows ?? `(select count(*) from ${table})`} as rows,
           (select avg(pg_column_size(sample)) from (select * from ${table} limit ${SAMPLE_ROWS}) sample) as row_bytes,
           sum(pg_table_size(relid)) as heap_bytes, sum(pg_total_relation_size(relid)) as all_bytes
         from (select relid from pg_partition_tree($1) union select $1::regclass) tree`,
        [table],
      )
      const row = result.rows[0]
      const rowsEstimated = Number(row?.rows ?? 0)
      const bytes = rowsEstimated * Number(row?.row_bytes ?? 0)
      estimates.push({
        table: shape.key,
        rowsEstimated,
        bytesEstimated: Math.round(bytes),
        diskBytesEstimated: Math.round(bytes * diskShare(Number(row?.heap_bytes), Number(row?.all_bytes))),
      })
    }
    return estimates
  })
}

/** How much more a table takes on disk than its rows. */
function diskShare(heapBytes: number, allBytes: number): number {
  return heapBytes < TELLING_BYTES ? USUAL_SHARE : Math.min(allBytes / heapBytes, LARGEST_SHARE)
}
