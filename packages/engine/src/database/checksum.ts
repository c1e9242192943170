import { createHash } from 'node:crypto'
import { FreeholdError } from '@freehold/contract'
import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { Key } from '../stream/change-stream.ts'
import { isInRange, type KeyRange, type Piece } from './pieces.ts'
import type { Column, TablePair, TableShape } from './tables.ts'

/** What is compared of a set of rows: how many there are, and a 64-bit sum over all their values. */
export interface Checksum {
  readonly rows: number
  readonly sum: string
}

/**
 * Checksum of the entered tenant's rows in a table, all of them or those of a range; computed in the database, order does not
 * matter.
 */
export async function tableChecksum(
  client: ClientBase,
  shape: TableShape,
  range: KeyRange = {},
): Promise<Checksum> {
  const values: unknown[] = []
  const result = await client.query<{ rows: string; sum: string }>(
    `select count(*) as rows, coalesce(bit_xor(${rowHash(shape)}), 0)::text as sum
     from ${quoteTable(shape.table)} t where ${isInRange(shape, range, values)}`,
    values,
  )
  const row = result.rows[0]
  if (row === undefined) throw new Error('an aggregate returned no row')
  return { rows: Number(row.rows), sum: row.sum }
}

/** Some of so many parts of a table. */
export interface Parts {
  readonly of: number
  readonly which: readonly string[]
}

/**
 * Checksums of reference tables, in one round trip. Added up, because without a key the same row may be there twice, and
 * two of the same would take each other out of an exclusive or.
 */
export async function sharedTableChecksums(
  client: ClientBase,
  shapes: readonly TableShape[],
): Promise<Checksum[]> {
  if (shapes.length === 0) return []
  const text = shapes
    .map(
      (shape, index) =>
        `select ${index} as n, count(*)::text as rows, coalesce(sum(${rowHash(shape)}::numeric), 0)::text as sum from ${quoteTable(shape.table)} t`,
    )
    .join(' union all ')
  const name = createHash('sha256').update(text).digest('hex').slice(0, 32)
  const result = await client.query<{ rows: string; sum: string }>({ name, text: `${text} order by 1` })
  return result.rows.map(({ rows, sum }) => ({ rows: Number(rows), sum }))
}

/**
 * Checksums of the entered tenant's rows in a range of a table, by parts: a row belongs to a part by its key, so that it
 * belongs to the same on both sides.
 *
 * @param parts how many; a power of two.
 * @param within only what these parts are divided into, when that is given.
 * @returns those parts that have rows.
 */
export async function partChecksums(
  client: ClientBase,
  shape: TableShape,
  parts: number,
  range: KeyRange,
  within?: Parts,
): Promise<ReadonlyMap<string, Checksum>> {
  const values: unknown[] = []
  const conditions = [
    isInRange(shape, range, values),
    ...(within === undefined ? [] : [isIn(shape, within, values)]),
  ]
  const result = await client.query<{ part: string; rows: string; sum: string }>(
    `select ${partOf(shape, parts)} as part, count(*) as rows, bit_xor(${rowHash(shape)})::text as sum
     from ${quoteTable(shape.table)} t where ${conditions.join(' and ')} group by 1`,
    values,
  )
  return new Map(result.rows.map(({ part, rows, sum }) => [part, { rows: Number(rows), sum }]))
}

/** The keys of the entered tenant's rows in some parts of a range of a table, each with the hash of its row. */
export async function rowsOfParts(
  client: ClientBase,
  shape: TableShape,
  range: KeyRange,
  parts: Parts,
): Promise<{ readonly key: Key; readonly hash: string }[]> {
  const values: unknown[] = []
  const key = shape.primaryKey.map(({ name }) => `t.${quoteIdentifier(name)}::text`).join(', ')
  const result = await client.query<{ key: string[]; hash: string }>(
    `select array[${key}] as key, ${rowHash(shape)}::text as hash
     from ${quoteTable(shape.table)} t where ${isInRange(shape, range, values)} and ${isIn(shape, parts, values)}`,
    values,
  )
  return result.rows
}

function isIn(shape: TableShape, { of, which }: Parts, values: unknown[]): string {
  return `${partOf(shape, of)} = any ($${values.push(which)}::bigint[])`
}

function partOf(shape: TableShape, parts: number): string {
  const key = new Set(shape.primaryKey.map(({ name }) => name))
  return `${hashOf(columnsOf(shape).filter(({ name }) => key.has(name)))} & ${parts - 1}`
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

function rowHash(shape: TableShape): string {
  return hashOf(columnsOf(shape))
}

/**
 * In one fixed order, because the two sides may have theirs in different orders. Generated ones are among them: the target
 * computes them anew, and may do so differently.
 */
function columnsOf(shape: TableShape): Column[] {
  return [...shape.columns, ...shape.generated].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function hashOf(columns: readonly Column[]): string {
  return `hash_record_extended(row(${columns.map(hashable).join(', ')}), 0)`
}

/**
 * A column as something whose hash differs when its bytes do. The hash of an eight-byte integer folds its halves, so
 * that 0 and 4294967297 have the same; that of text follows a collation, which may call 'a' and 'A' equal.
 */
function hashable({ name, type, portable }: Column): string {
  const value = `t.${quoteIdentifier(name)}`
  const send = SENT[type.replace(/\([\d,-]+\)/, '')]
  if (send !== undefined) return `${send}(${value})`
  // Cast to text, a char(n) or bpchar would lose its trailing blanks.
  if (/^(character\(|bpchar$|character$)/.test(type)) return `textin(bpcharout(${value})) collate "C"`
  if (!portable) return `${value}::text collate "C"`
  return /^(text$|character varying)/.test(type) ? `${value} collate "C"` : value
}

/**
 * Types whose wire format is the value's bits and nothing else, by the function that writes it; of a number the digits, and
 * how many it is written with. Floats are compared as text, because there are many NaN, and which of them it is does not
 * travel through the stream.
 */
const SENT: Readonly<Record<string, string>> = {
  bigint: 'int8send',
  numeric: 'numeric_send',
  'timestamp without time zone': 'timestamp_send',
  'timestamp with time zone': 'timestamptz_send',
}

/** Both sides' checksum of a piece. */
export interface Comparison extends Piece {
  readonly source: Checksum
  readonly target: Checksum
}

/** Puts beside each other what was computed of the same pieces at both ends. */
export function zipChecksums(
  pieces: readonly Piece[],
  [source, target]: readonly [readonly Checksum[], readonly Checksum[]],
): Comparison[] {
  return pieces.flatMap((piece, index) => {
    const [atSource, atTarget] = [source[index], target[index]]
    return atSource === undefined || atTarget === undefined
      ? []
      : [{ ...piece, source: atSource, target: atTarget }]
  })
}

export function isEqual({ source, target }: Comparison): boolean {
  return source.rows === target.rows && source.sum === target.sum
}

/** A table whose two sides differ, and how many rows were looked at on each. */
export interface Difference {
  readonly tables: TablePair
  readonly source: { readonly rows: number }
  readonly target: { readonly rows: number }
  /** Which kinds of rows they are, when each was looked for. */
  readonly kinds?: DifferenceKinds
}

/** How many rows of a table differ, by what is wrong with them at the target. */
export interface DifferenceKinds {
  readonly missing: number
  /** The source does not have them. */
  readonly extra: number
  /** There on both sides, with other values. */
  readonly changed: number
}

/** `1 row missing, 2 too many, 3 with other values` */
export function describeKinds({ missing, extra, changed }: DifferenceKinds): string {
  const parts = [
    [missing, 'missing'],
    [extra, 'too many'],
    [changed, 'with other values'],
  ] as const
  return parts.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`])).join(', ')
}

/** The error for a table whose two sides differ. Tells how many rows, and never which: a key may be a tenant's value. */
export function verificationFailed({ tables, source, target, kinds }: Difference): FreeholdError {
  const table = tables.source.key
  const what =
    source.rows === target.rows
      ? `${source.rows} rows on both sides, with different contents`
      : `${source.rows} rows at the source and ${target.rows} at the target`
  const which = kinds === undefined ? '' : `; of those at the target ${describeKinds(kinds)}`
  return new FreeholdError('verification_failed', `Table ${table} differs: ${what}${which}.`, {
    details: {
      table,
      sourceRows: source.rows,
      targetRows: target.rows,
      ...(kinds && { missingRows: kinds.missing, extraRows: kinds.extra, changedRows: kinds.changed }),
    },
  })
}
