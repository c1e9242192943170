import { quoteLiteral, sendTogether } from '@freehold/postgres'
import type pg from 'pg'
import {
  type Checksum,
  type Comparison,
  type Difference,
  type Parts,
  partChecksums,
  rowHashes,
  rowsOfParts,
  tableChecksum,
  zipChecksums,
} from '../database/checksum.ts'
import { asTenant, enterAsMover, type TenantScope } from '../database/entered.ts'
import { useExactText } from '../database/exact-text.ts'
import type { Piece } from '../database/pieces.ts'
import type { TablePair } from '../database/tables.ts'
import type { ChangedRows, Key } from '../stream/change-stream.ts'

/** A connection to one side, and the tenant there. */
export interface ComparedSide {
  readonly client: pg.Client
  readonly scope: TenantScope
  /** An exported snapshot to look at; without one, what is committed now. */
  readonly snapshot?: string
}

/** Compares the tenant's rows in some pieces, both sides at the same time. */
export async function comparePieces(
  source: ComparedSide,
  target: ComparedSide,
  pieces: readonly Piece[],
): Promise<Comparison[]> {
  const checksums = await onBothSides(source, target, ({ client }, end) =>
    inOrder(pieces, ({ tables, range }) => tableChecksum(client, tables[end], range)),
  )
  return zipChecksums(pieces, checksums)
}

/** How far tables that differ are taken apart, so that what is held here is bounded. */
export interface DrillDown {
  /** Rows that are listed of a part, about. */
  readonly partRows: number
  /** Into how many parts a table is divided at once; a power of two. What differs of them is divided again. */
  readonly parts: number
  /** Each of those that differ may be divided again into so many; a power of two. */
  readonly partsOfPart: number
  /** More parts than that with a difference are not taken apart: that much is not mended row by row. */
  readonly differentParts: number
}

const DRILL_DOWN: DrillDown = { partRows: 64, parts: 65_536, partsOfPart: 64, differentParts: 1_000 }

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
  drillDown: DrillDown = DRILL_DOWN,
): Promise<LocatedDifference[]> {
  const located: LocatedDifference[] = []
  for (const comparison of comparisons) {
    const difference = await locateIn(source, target, comparison, drillDown)
    if (difference !== undefined) located.push(difference)
  }
  return located
}

async function locateIn(
  source: ComparedSide,
  target: ComparedSide,
  comparison: Comparison,
  drillDown: DrillDown,
): Promise<LocatedDifference | undefined> {
  const { tables, range } = comparison
  const enough = partsFor(Math.max(comparison.source.rows, comparison.target.rows), drillDown)
  const first = Math.min(enough, drillDown.parts)
  let parts = await differentParts(source, target, comparison, first)
  while (parts.which.length <= drillDown.differentParts && parts.of < enough) {
    const finer = Math.min(enough, parts.of * drillDown.partsOfPart)
    parts = await differentParts(source, target, comparison, finer, parts)
  }
  if (parts.which.length === 0) return undefined
  if (parts.which.length > drillDown.differentParts) return comparison
  const [rowsHere, rowsThere] = await onBothSides(source, target, ({ client }, end) =>
    rowsOfParts(client, tables[end], range, parts),
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

/** The parts of a piece that differ, of so many; of those alone that are `within` others, when these are given. */
async function differentParts(
  source: ComparedSide,
  target: ComparedSide,
  { tables, range }: Piece,
  of: number,
  within?: Parts,
): Promise<Parts> {
  const [here, there] = await onBothSides(source, target, ({ client }, end) =>
    partChecksums(client, tables[end], of, range, within),
  )
  const which = [...new Set([...here.keys(), ...there.keys()])].filter((part) => {
    const [sumHere, sumThere] = [here.get(part), there.get(part)]
    return sumHere?.rows !== sumThere?.rows || sumHere?.sum !== sumThere?.sum
  })
  return { of, which }
}

function partsFor(rows: number, { partRows }: DrillDown): number {
  let parts = 1
  while (parts * partRows < rows) parts *= 2
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

async function hashRows(
  { client, scope }: ComparedSide,
  end: keyof TablePair,
  changed: ChangedRows,
): Promise<(readonly (string | null)[])[]> {
  const [, , hashes] = await sendTogether(client, () =>
    Promise.all([
      client.query('begin read only'),
      enterAsMover(client, scope),
      Promise.all(changed.map(({ tables, keys }) => rowHashes(client, tables[end], keys))),
      client.query('commit'),
    ]),
  )
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
