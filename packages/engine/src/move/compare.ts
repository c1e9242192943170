import { quoteLiteral } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import {
  type Checksum,
  type Comparison,
  type Difference,
  partChecksums,
  rowHashes,
  rowsOfParts,
  tableChecksum,
} from '../database/checksum.ts'
import { asTenant, enterAsMover, type TenantScope } from '../database/entered.ts'
import { useExactText } from '../database/exact-text.ts'
import type { TablePair } from '../database/tables.ts'
import type { ChangedRows, Key } from '../stream/change-stream.ts'

/** A connection to one side, and the tenant there. */
export interface ComparedSide {
  readonly client: ClientBase
  readonly scope: TenantScope
  /** An exported snapshot to look at; without one, what is committed now. */
  readonly snapshot?: string
}

/** Compares all rows of the tenant, both sides at the same time. */
export async function compareTables(
  source: ComparedSide,
  target: ComparedSide,
  tables: readonly TablePair[],
): Promise<Comparison[]> {
  const checksums = await onBothSides(source, target, ({ client }, end) =>
    inOrder(tables, (pair) => tableChecksum(client, pair[end])),
  )
  return zip(tables, checksums)
}

/** Rows that are listed of a part of a table, about. */
const PART_ROWS = 64
const MAX_PARTS = 65_536
/** More parts than that with a difference are not taken apart: that much is not mended row by row. */
const MAX_DIFFERENT_PARTS = 1_000

/** A table that differs, with the keys of the rows that do; without keys when they are too many. */
export interface LocatedDifference extends Difference {
  readonly keys?: readonly Key[]
}

/**
 * Finds the rows in which tables differ, whose checksums do: first the parts of a table, then the rows of these parts, so that
 * what is held here is bounded. Both sides must still be looked at as when they were compared.
 *
 * @returns the differences that are still there when they are looked for again.
 */
export async function locateDifferences(
  source: ComparedSide,
  target: ComparedSide,
  comparisons: readonly Comparison[],
): Promise<LocatedDifference[]> {
  const located: LocatedDifference[] = []
  for (const comparison of comparisons) {
    const difference = await locateIn(source, target, comparison)
    if (difference !== undefined) located.push(difference)
  }
  return located
}

async function locateIn(
  source: ComparedSide,
  target: ComparedSide,
  comparison: Comparison,
): Promise<LocatedDifference | undefined> {
  const { tables } = comparison
  const parts = partsFor(Math.max(comparison.source.rows, comparison.target.rows))
  const [sumsHere, sumsThere] = await onBothSides(source, target, ({ client }, end) =>
    partChecksums(client, tables[end], parts),
  )
  const different = [...new Set([...sumsHere.keys(), ...sumsThere.keys()])].filter((part) => {
    const [here, there] = [sumsHere.get(part), sumsThere.get(part)]
    return here?.rows !== there?.rows || here?.sum !== there?.sum
  })
  if (different.length === 0) return undefined
  if (different.length > MAX_DIFFERENT_PARTS) return comparison
  const [rowsHere, rowsThere] = await onBothSides(source, target, ({ client }, end) =>
    rowsOfParts(client, tables[end], parts, different),
  )
  const here = byKey(rowsHere)
  const there = byKey(rowsThere)
  const missing = rowsHere.filter(({ key }) => !there.has(JSON.stringify(key)))
  const extra = rowsThere.filter(({ key }) => !here.has(JSON.stringify(key)))
  const changed = rowsHere.filter(({ key, hash }) => (there.get(JSON.stringify(key)) ?? hash) !== hash)
  const keys = [...missing, ...extra, ...changed].map(({ key }) => key)
  if (keys.length === 0) return undefined
  const kinds = { missing: missing.length, extra: extra.length, changed: changed.length }
  return { ...comparison, kinds, keys }
}

const byKey = (rows: readonly { readonly key: Key; readonly hash: string }[]) =>
  new Map(rows.map(({ key, hash }) => [JSON.stringify(key), hash]))

function partsFor(rows: number): number {
  let parts = 1
  while (parts < MAX_PARTS && parts * PART_ROWS < rows) parts *= 2
  return parts
}

function onBothSides<T>(
  source: ComparedSide,
  target: ComparedSide,
  work: (side: ComparedSide, end: keyof TablePair) => Promise<T>,
): Promise<[T, T]> {
  return Promise.all([
    inOneSnapshot(source, () => work(source, 'source')),
    inOneSnapshot(target, () => work(target, 'target')),
  ])
}

/** Rows of a table that are not the same on both sides, and how many of those compared were there at all. */
export interface DifferentRows extends Difference {
  readonly keys: readonly Key[]
}

/**
 * Compares only the given rows, both sides at the same time, and each side in one round trip when its client is
 * pipelined.
 *
 * @returns the tables with a difference; none when all rows are equal.
 */
export async function compareRows(
  source: ComparedSide,
  target: ComparedSide,
  changed: ChangedRows,
): Promise<DifferentRows[]> {
  if (changed.length === 0) return []
  const [atSource, atTarget] = await Promise.all([
    hashRows(source, 'source', changed),
    hashRows(target, 'target', changed),
  ])
  return changed.flatMap(({ tables, keys }, index) => {
    const [here, there] = [atSource[index] ?? [], atTarget[index] ?? []]
    const different = keys.filter((_, at) => here[at] !== there[at])
    const count = (hashes: readonly (string | null)[]) => ({
      rows: hashes.filter((hash) => hash !== null).length,
    })
    return different.length === 0
      ? []
      : [{ tables, keys: different, source: count(here), target: count(there) }]
  })
}

/** Nothing is awaited in between: the statements go out together. */
async function hashRows(
  { client, scope }: ComparedSide,
  end: keyof TablePair,
  changed: ChangedRows,
): Promise<(readonly (string | null)[])[]> {
  const begun = client.query('begin read only')
  const entered = enterAsMover(client, scope)
  const hashes = Promise.all(changed.map(({ tables, keys }) => rowHashes(client, tables[end], keys)))
  const committed = client.query('commit')
  await Promise.all([begun, entered, hashes, committed])
  return hashes
}

/** As the tenant. */
export function inOneSnapshot<T>(
  { client, scope, snapshot }: ComparedSide,
  work: () => Promise<T>,
): Promise<T> {
  const adopt = snapshot === undefined ? '' : `; set transaction snapshot ${quoteLiteral(snapshot)}`
  return asTenant(
    client,
    scope,
    async () => {
      await useExactText(client)
      return work()
    },
    `begin isolation level repeatable read read only${adopt}`,
  )
}

async function inOrder<T>(items: readonly T[], work: (item: T) => Promise<Checksum>): Promise<Checksum[]> {
  const results: Checksum[] = []
  for (const item of items) results.push(await work(item))
  return results
}

function zip(
  pairs: readonly TablePair[],
  [source, target]: readonly [readonly Checksum[], readonly Checksum[]],
): Comparison[] {
  return pairs.flatMap((tables, index) => {
    const [atSource, atTarget] = [source[index], target[index]]
    return atSource === undefined || atTarget === undefined
      ? []
      : [{ tables, source: atSource, target: atTarget }]
  })
}
