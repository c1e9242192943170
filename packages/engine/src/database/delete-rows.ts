import type { ClientBase } from 'pg'

/**
 * Deletes up to so many of the entered tenant's rows, whichever.
 *
 * @param table as written in SQL.
 * @returns how many were deleted.
 */
export async function deleteRows(client: ClientBase, table: string, limit: number): Promise<number> {
  const deleted = await client.query(
    `with doomed as materialized (select tableoid, ctid from ${table} limit $1)
     delete from ${table} t using doomed where t.tableoid = doomed.tableoid and t.ctid = doomed.ctid`,
    [limit],
  )
  return deleted.rowCount ?? 0
}
