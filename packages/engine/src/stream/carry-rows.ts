import type pg from 'pg'
import type { Key } from './change-stream.ts'
import type { TableStatements, TextRow } from './table-statements.ts'

/** Keys that are worked on at the same time. */
export const PAGE_KEYS = 1_000
/** Rows are fetched so many at a time that they come to about this much. */
const FETCH_BYTES = 4 * 1024 * 1024
const FIRST_FETCH_ROWS = 100

/**
 * Puts the rows with these keys to the target as the reader sees them, as many at a time as can be held here.
 *
 * @param reader in a transaction that has entered the source; pipelined.
 * @param target in a transaction that has entered the target, where none of the rows is; pipelined.
 * @returns how many rows there were.
 */
export async function carryRows(
  reader: pg.Client,
  target: pg.Client,
  statements: TableStatements,
  keys: readonly Key[],
): Promise<number> {
  let wanted = FIRST_FETCH_ROWS
  let [, rows] = await Promise.all([
    reader.query(statements.openRows(keys)),
    reader.query<TextRow>(statements.fetchRows(wanted)),
  ]).catch((error: unknown) => {
    throw statements.asSchemaMismatch(error)
  })
  for (let carried = 0; ; ) {
    const isLast = rows.rows.length < wanted
    await Promise.all([
      ...rows.rows.map((row) => target.query(statements.put(row))),
      isLast ? reader.query(statements.closeRows()) : undefined,
    ])
    carried += rows.rows.length
    if (isLast) return carried
    wanted = affordableRows(rows.rows)
    rows = await reader.query<TextRow>(statements.fetchRows(wanted))
  }
}

function affordableRows(rows: readonly TextRow[]): number {
  const bytes = rows.reduce(
    (sum, row) => sum + row.reduce((width, value) => width + (value?.length ?? 0), 1),
    0,
  )
  return Math.max(1, Math.min(PAGE_KEYS, Math.floor((FETCH_BYTES * rows.length) / bytes)))
}
