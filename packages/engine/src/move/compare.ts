import { quoteLiteral } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { type Checksum, type Comparison, rowsChecksum, tableChecksum } from '../database/checksum.ts'
import { asTenant, type TenantScope } from '../database/entered.ts'
import { useExactText } from '../database/exact-text.ts'
import type { TablePair } from '../database/tables.ts'
import type { ChangedRows } from '../stream/applier.ts'

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

/** Compares only the given rows, both sides at the same time. */
export async function compareRows(
  source: ComparedSide,
  target: ComparedSide,
  changed: ChangedRows,
): Promise<Comparison[]> {
  const compute = (side: ComparedSide, end: keyof TablePair) =>
    inOneSnapshot(side, () =>
      inOrder(changed, ({ tables, keys }) => rowsChecksum(side.client, tables[end], keys)),
    )
  const pairs = changed.map(({ tables }) => tables)
  return zip(pairs, await Promise.all([compute(source, 'source'), compute(target, 'target')]))
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
