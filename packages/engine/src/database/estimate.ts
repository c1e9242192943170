import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { asTenant, type TenantScope } from './entered.ts'
import type { TableShape } from './tables.ts'

export interface TableEstimate {
  readonly table: string
  readonly rowsEstimated: number
  /** What a copy carries: values that are kept compressed are not while they travel. */
  readonly bytesEstimated: number
  /** As they are kept, with indexes and what else the rows bring with them. */
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
        unpacked_bytes: string | null
        heap_bytes: string
        all_bytes: string
      }>(
        `with sampled as (
           select avg(pg_column_size(sample.*)) as row_bytes, avg(${unpackedBytes(shape)}) as unpacked_bytes
           from (select * from ${table} limit ${SAMPLE_ROWS}) sample)
         select ${rows ?? `(select count(*) from ${table})`} as rows,
           (select row_bytes from sampled), (select unpacked_bytes from sampled),
           sum(pg_table_size(relid)) as heap_bytes, sum(pg_total_relation_size(relid)) as all_bytes
         from (select relid from pg_partition_tree($1) union select $1::regclass) tree`,
        [table],
      )
      const row = result.rows[0]
      const rowsEstimated = Number(row?.rows ?? 0)
      const kept = rowsEstimated * Number(row?.row_bytes ?? 0)
      const unpacked = rowsEstimated * Number(row?.unpacked_bytes ?? 0)
      estimates.push({
        table: shape.key,
        rowsEstimated,
        bytesEstimated: Math.round(kept + unpacked),
        diskBytesEstimated: Math.round(kept * diskShare(Number(row?.heap_bytes), Number(row?.all_bytes))),
      })
    }
    return estimates
  })
}

/** By how much a row of the sample grows when its values are no longer compressed. */
function unpackedBytes({ columns }: TableShape): string {
  const grown = columns.map(({ name, type }) => {
    const value = `sample.${quoteIdentifier(name)}`
    const length = type === 'bytea' ? `octet_length(${value})` : `octet_length(${value}::text)`
    return `case when pg_column_compression(${value}) is null then 0 else greatest(${length} - pg_column_size(${value}), 0) end`
  })
  return ['0', ...grown].join(' + ')
}

/** How much more a table takes on disk than its rows. */
function diskShare(heapBytes: number, allBytes: number): number {
  return heapBytes < TELLING_BYTES ? USUAL_SHARE : Math.min(allBytes / heapBytes, LARGEST_SHARE)
}
