import { FreeholdError } from '@freehold/contract'
import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { Key } from '../stream/change-writer.ts'
import type { Column, TablePair, TableShape } from './tables.ts'

/** What is compared of a set of rows: how many there are, and a 64-bit sum over all their values. */
export interface Checksum {
  readonly rows: number
  readonly sum: string
}

/** Checksum of all rows of the entered tenant in a table; computed in the database, order does not matter. */
export async function tableChecksum(client: ClientBase, shape: TableShape): Promise<Checksum> {
  return checksum(client, `select ${rowHash(shape)} as hash from ${quoteTable(shape.table)} t`, [])
}

/** Checksum of the entered tenant's rows with the given keys; keys without a row do not count. */
export async function rowsChecksum(
  client: ClientBase,
  shape: TableShape,
  keys: readonly Key[],
): Promise<Checksum> {
  const columns = shape.primaryKey
  const arrays = columns.map((_, index) => `$${index + 1}::text[]`).join(', ')
  const names = columns.map((_, index) => `k${index}`).join(', ')
  // Cast one by one: an array of arrays would be taken apart to its elements.
  const matches = columns
    .map((column, index) => `t.${quoteIdentifier(column.name)} = k.k${index}::${column.type}`)
    .join(' and ')
  // A row counts once, also where two of the keys are different texts of one value (1.0 and 1.00).
  return checksum(
    client,
    `select distinct on (t.tableoid, t.ctid) ${rowHash(shape)} as hash
     from unnest(${arrays}) k (${names}) join ${quoteTable(shape.table)} t on ${matches}`,
    columns.map((_, index) => keys.map((key) => key[index])),
  )
}

async function checksum(client: ClientBase, hashes: string, values: unknown[]): Promise<Checksum> {
  const result = await client.query<{ rows: string; sum: string }>(
    `select count(*) as rows, coalesce(bit_xor(hash), 0)::text as sum from (${hashes}) hashed`,
    values,
  )
  const row = result.rows[0]
  if (row === undefined) throw new Error('an aggregate returned no row')
  return { rows: Number(row.rows), sum: row.sum }
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

/** The error for a table whose two sides differ. */
export function verificationFailed({ tables, source, target }: Comparison): FreeholdError {
  const table = tables.source.key
  const what =
    source.rows === target.rows
      ? `${source.rows} rows on both sides, with different contents`
      : `${source.rows} rows at the source and ${target.rows} at the target`
  return new FreeholdError('verification_failed', `Table ${table} differs: ${what}.`, {
    details: { table, sourceRows: source.rows, targetRows: target.rows },
  })
}
