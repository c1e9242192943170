import { quoteLiteral } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import {
  type Checksum,
  type Comparison,
  type Difference,
  rowHashes,
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
  const compute = (side: ComparedSide, end: keyof TablePair) =>
    inOneSnapshot(side, () => inOrder(tables, (pair) => tableChecksum(side.client, pair[end])))
  return zip(tables, await Promise.all([compute(source, 'source'), compute(target, 'target')]))
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

function inOneSnapshot<T>({ client, scope, snapshot }: ComparedSide, work: () => Promise<T>): Promise<T> {
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
