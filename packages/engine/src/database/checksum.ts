import { FreeholdError } from '@freehold/contract'
import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { Key } from '../stream/change-writer.ts'
import { type TableShape, tableKey } from './tables.ts'

/** What is compared of a set of rows: how many there are, and a 64-bit sum over all their values. */
export interface Checksum {
  readonly rows: number
  readonly sum: string
}

/**
 * Settings under which a value is the same text on every server. Checksums are computed from text where a type's own
 * hash is not the same everywhere, or calls values equal that differ (1.0 and 1.00, 0 and -0).
 */
const CANONICAL_TEXT = `set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres';
  set local timezone = 'UTC'; set local extra_float_digits = 1; set local bytea_output = 'hex'`

/** Prepares the open transaction for {@link tableChecksum} and {@link rowsChecksum}. */
export async function useCanonicalText(client: ClientBase): Promise<void> {
  await client.query(CANONICAL_TEXT)
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
  const arrays = columns.map((column, index) => `$${index + 1}::text[]::${column.type}[]`).join(', ')
  const names = columns.map((_, index) => `k${index}`).join(', ')
  const matches = columns
    .map((column, index) => `t.${quoteIdentifier(column.name)} = k.k${index}`)
    .join(' and ')
  return checksum(
    client,
    `select ${rowHash(shape)} as hash from unnest(${arrays}) k (${names})
     join ${quoteTable(shape.table)} t on ${matches}`,
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

/** The columns are named in one fixed order, because the two sides may have theirs in different orders. */
function rowHash(shape: TableShape): string {
  const columns = [...shape.columns].sort((a, b) => (a.name < b.name ? -1 : 1))
  const values = columns.map((column) => {
    const name = `t.${quoteIdentifier(column.name)}`
    return column.portable ? name : `${name}::text`
  })
  return `hash_record_extended(row(${values.join(', ')}), 0)`
}

/** Both sides' checksum of one table. */
export interface Comparison {
  readonly shape: TableShape
  readonly source: Checksum
  readonly target: Checksum
}

export function isEqual({ source, target }: Comparison): boolean {
  return source.rows === target.rows && source.sum === target.sum
}

/** The error for a table whose two sides differ. */
export function verificationFailed({ shape, source, target }: Comparison): FreeholdError {
  const table = tableKey(shape.table)
  const what =
    source.rows === target.rows
      ? `${source.rows} rows on both sides, with different contents`
      : `${source.rows} rows at the source and ${target.rows} at the target`
  return new FreeholdError('verification_failed', `Table ${table} differs: ${what}.`, {
    details: { table, sourceRows: source.rows, targetRows: target.rows },
  })
}
