import { FreeholdError } from '@freehold/contract'
import { quoteTable } from '@freehold/postgres'
import { pairTables, readTables, type TablePair } from '../database/tables.ts'
import type { Move } from './move.ts'
import { moveStream } from './move-stream.ts'
import { moveReferences } from './references.ts'
import { readTargetTables } from './target-tables.ts'

/**
 * Checks that the tables at the source are still those of the move, that the target has the same, and that the change
 * stream carries each of them: a table that came later is in no publication and has no trigger, and its rows would be lost.
 *
 * @param tables what this worker knows the tables to be.
 * @throws FreeholdError `schema_mismatch`, naming the tables, or what `readTables` throws.
 */
export async function requireSameSchema(move: Move, tables: readonly TablePair[]): Promise<void> {
  const sides = (side: keyof TablePair) => tables.map((pair) => pair[side])
  const stream = await moveStream(move, tables)
  const [carried] = await Promise.all([
    move.connections.use(move.source.mover, async (source) => {
      pairTables(await readTables(source, move.source.schema), sides('target'))
      return stream.carriedTables(source)
    }),
    move.connections.use(move.target.mover, async (target) => {
      pairTables(sides('source'), await readTargetTables(move, target))
    }),
  ])
  delete move.session.references
  await moveReferences(move)
  const missing = sides('source').filter(({ table }) => !carried.has(quoteTable(table)))
  if (missing.length === 0) return
  const names = missing.map(({ key }) => key).join(', ')
  throw new FreeholdError(
    'schema_mismatch',
    `Not in the change stream, because it came later or was taken out of it: ${names}.`,
  )
}
