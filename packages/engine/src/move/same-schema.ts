import { FreeholdError } from '@freehold/contract'
import { quoteTable } from '@freehold/postgres'
import { pairTables, type TablePair } from '../database/tables.ts'
import type { Move } from './move.ts'
import { moveStream } from './move-stream.ts'
import { moveTables, readBothEnds } from './move-tables.ts'
import { moveReferences } from './references.ts'

/**
 * Checks that the tables at the source are still those of the move, that the target has the same, and that the change
 * stream carries each of them.
 *
 * @returns the tables.
 * @throws FreeholdError `schema_mismatch`, naming the tables, or what `readTables` throws.
 */
export async function requireSameSchema(move: Move): Promise<readonly TablePair[]> {
  const known = move.session.tables
  if (known !== undefined) {
    const [source, target] = await readBothEnds(move)
    const sides = (side: keyof TablePair) => known.map((pair) => pair[side])
    pairTables(source, sides('target'))
    pairTables(sides('source'), target)
  }
  const tables = await moveTables(move)
  await requireCarried(move, tables)
  return tables
}

/** A table that came later is in no publication and has no trigger, and its rows would be lost. */
async function requireCarried(move: Move, tables: readonly TablePair[]): Promise<void> {
  const stream = await moveStream(move, tables)
  const carried = await move.connections.use(move.source.mover, (source) => stream.carriedTables(source))
  delete move.session.references
  await moveReferences(move)
  const missing = tables.filter(({ source }) => !carried.has(quoteTable(source.table)))
  if (missing.length === 0) return
  const names = missing.map(({ source }) => source.key).join(', ')
  throw new FreeholdError(
    'schema_mismatch',
    `Not in the change stream, because it came later or was taken out of it: ${names}.`,
  )
}
