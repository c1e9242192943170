import { createHash } from 'node:crypto'
import { FreeholdError } from '@freehold/contract'
import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { Key } from '../stream/change-stream.ts'
import type { Column, TablePair, TableShape } from './tables.ts'

/** What is compared of a set of rows: how many there are, and a 64-bit sum over all their values. */
export interface Checksum {
  readonly rows: number
  readonly sum: string
}

/** Checksum of all rows of the entered tenant in a table; computed in the database, order does not matter. */
export async function tableChecksum(client: ClientBase, shape: TableShape): Promise<Checksum> {
  const result = await client.query<{ rows: string; sum: string }>(
    `select count(*) as rows, coalesce(bit_xor(${rowHash(shape)}), 0)::text as sum from ${quoteTable(shape.table)} t`,
  )
  const row = result.rows[0]
  if (row === undefined) throw new Error('an aggregate returned no row')
  return { rows: Number(row.rows), sum: row.sum }
}

/**
 * Hashes of the entered tenant's rows with the given keys, in their order; null where there is none. Each row is looked
 * up by its key, whatever the server believes of the table's size: under the fence, a table must not be read through.
 */
export async function rowHashes(
  client: ClientBase,
  shape: TableShape,
  keys: readonly Key[],
): Promise<readonly (string | null)[]> {
  const columns = shape.primaryKey
  const arrays = columns.map((_, index) => `$${index + 1}::text[]`).join(', ')
  const names = columns.map((_, index) => `k${index}`).join(', ')
  // Cast one by one: an array of arrays would be taken apart to its elements.
  const matches = columns
    .map((column, index) => `t.${quoteIdentifier(column.name)} = k.k${index}::${column.type}`)
    .join(' and ')
  const text = `
    select array_agg((select ${rowHash(shape)} from ${quoteTable(shape.table)} t where ${matches})::text order by k.n)
      as hashes
    from unnest(${arrays}) with ordinality k (${names}, n)`
  const result = await client.query<{ hashes: (string | null)[] | null }>({
    name: createHash('sha256').update(text).digest('hex').slice(0, 32),
    text,
    values: columns.map((_, index) => keys.map((key) => key[index])),
  })
  const hashes = result.rows[0]?.hashes ?? []
  if (hashes.length !== keys.length) throw new Error('a row for every key was asked for')
  return hashes
}

/**
 * The columns are named in one fixed order, because the two sides may have theirs in different orders. Generated ones
 * are among them: the target computes them anew, and may do so differently.
 */
function rowHash(shape: TableShape): string {
  const columns = [...shape.columns, ...shape.generated].sort((a, b) => (a.name < b.name ? -1 : 1))
  return `hash_record_extended(row(${columns.map(hashable).join(', ')}), 0)`
}

/**
 * A column as something whose hash differs when its bytes do. The hash of an eight-byte integer folds its halves, so
 * that 0 and 4294967297 have the same; that of text follows a collation, which may call 'a' and 'A' equal.
 */
function hashable({ name, type, portable }: Column): string {
  const value = `t.${quoteIdentifier(name)}`
  const send = SENT[type.replace(/\(\d+\)/, '')]
  if (send !== undefined) return `${send}(${value})`
  // Cast to text, a char(n) or bpchar would lose its trailing blanks.
  if (/^(character\(|bpchar$|character$)/.test(type)) return `textin(bpcharout(${value})) collate "C"`
  if (!portable) return `${value}::text collate "C"`
  return /^(text$|character varying)/.test(type) ? `${value} collate "C"` : value
}

/** Types whose wire format is the value's bits and nothing else, by the function that writes it. Floats are compared as
 * text, because there are many NaN, and which of them it is does not travel through the stream. */
const SENT: Readonly<Record<string, string>> = {
  bigint: 'int8send',
  'timestamp without time zone': 'timestamp_send',
  'timestamp with time zone': 'timestamptz_send',
}

/** Both sides' checksum of one table. */
export interface Comparison {
  readonly tables: TablePair
  readonly source: Checksum
  readonly target: Checksum
}

export function isEqual({ source, target }: Comparison): boolean {
  return source.rows === target.rows && source.sum === target.sum
}

/** A table whose two sides differ, and how many rows were looked at on each. */
export interface Difference {
  readonly tables: TablePair
  readonly source: { readonly rows: number }
  readonly target: { readonly rows: number }
}

/** The error for a table whose two sides differ. */
export function verificationFailed({ tables, source, target }: Difference): FreeholdError {
  const table = tables.source.key
  const what =
    source.rows === target.rows
      ? `${source.rows} rows on both sides, with different contents`
      : `${source.rows} rows at the source and ${target.rows} at the target`
  return new FreeholdError('verification_failed', `Table ${table} differs: ${what}.`, {
    details: { table, sourceRows: source.rows, targetRows: target.rows },
  })
}
