import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { Key } from '../stream/change-stream.ts'
import type { TablePair, TableShape } from './tables.ts'

/** The rows of a table whose keys follow one and do not follow another; without either, from the first, to the last. */
export interface KeyRange {
  readonly after?: Key
  readonly upTo?: Key
}

/** What is compared at once: a table, or a range of its rows. */
export interface Piece {
  readonly tables: TablePair
  readonly range: KeyRange
}

/** Types whose order is the same on every server. That of text follows a collation, of which there are versions. */
const ORDERED_ALIKE = /^(smallint|integer|bigint|uuid|date|timestamp (with|without) time zone|oid)$/

/**
 * Divides the tables of the entered tenant into batches of about so many rows. A table that is larger is divided by its key, where
 * that is in the same order on both sides; each of its pieces is a batch.
 *
 * @param rowsOf how many rows a table has, about.
 */
export async function batchesOf(
  source: ClientBase,
  tables: readonly TablePair[],
  batchRows: number,
  rowsOf: (tables: TablePair) => number,
): Promise<Piece[][]> {
  const batches: Piece[][] = []
  let batch: Piece[] = []
  let room = batchRows
  for (const pair of tables) {
    const rows = rowsOf(pair)
    if (rows > batchRows && isOrderedAlike(pair)) {
      batches.push(...(await dividedByKey(source, pair, batchRows)).map((piece) => [piece]))
      continue
    }
    if (rows > room && batch.length > 0) {
      batches.push(batch)
      batch = []
      room = batchRows
    }
    batch.push({ tables: pair, range: {} })
    room -= rows
  }
  return batch.length > 0 ? [...batches, batch] : batches
}

function isOrderedAlike({ source, target }: TablePair): boolean {
  return [...source.primaryKey, ...target.primaryKey].every(({ type }) => ORDERED_ALIKE.test(type))
}

/** Every so many rows one key; what comes or goes meanwhile makes a piece a little larger or smaller. */
async function dividedByKey(source: ClientBase, tables: TablePair, rows: number): Promise<Piece[]> {
  const { primaryKey, table } = tables.source
  const names = primaryKey.map(({ name }) => quoteIdentifier(name)).join(', ')
  const asText = primaryKey.map(({ name }) => `${quoteIdentifier(name)}::text`).join(', ')
  const found = await source.query<{ key: string[] }>(
    `select array[${asText}] as key
     from (select ${names}, row_number() over (order by ${names}) as n from ${quoteTable(table)}) numbered
     where n % $1 = 0 order by n`,
    [rows],
  )
  const keys = found.rows.map(({ key }) => key)
  return [undefined, ...keys].map((after, index) => {
    const upTo = keys[index]
    return { tables, range: { ...(after && { after }), ...(upTo && { upTo }) } }
  })
}

/**
 * The condition for a range of rows of the table `t`, as SQL.
 *
 * @param values the statement's; those of the range are added to them.
 */
export function isInRange(shape: TableShape, { after, upTo }: KeyRange, values: unknown[]): string {
  const key = shape.primaryKey.map(({ name }) => `t.${quoteIdentifier(name)}`).join(', ')
  const bound = (of: Key) =>
    of.map((part, index) => `$${values.push(part)}::text::${shape.primaryKey[index]?.type}`).join(', ')
  const conditions = [
    ...(after === undefined ? [] : [`(${key}) > (${bound(after)})`]),
    ...(upTo === undefined ? [] : [`(${key}) <= (${bound(upTo)})`]),
  ]
  return conditions.length === 0 ? 'true' : conditions.join(' and ')
}
