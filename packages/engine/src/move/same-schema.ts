import { FreeholdError } from '@freehold/contract'
import { quoteTable, withClient } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { pairTables, readTables, type TablePair } from '../database/tables.ts'
import type { Move } from './move.ts'

/**
 * Checks that the tables at the source are still those of the move, that the target has the same, and that the change
 * stream carries each of them: a table that came later is in no publication, and its rows would be lost.
 *
 * @param tables what this worker knows the tables to be.
 * @throws FreeholdError `schema_mismatch`, naming the tables, or what `readTables` throws.
 */
export async function requireSameSchema(move: Move, tables: readonly TablePair[]): Promise<void> {
  const sides = (side: keyof TablePair) => tables.map((pair) => pair[side])
  const [published] = await Promise.all([
    withClient(move.source.mover, 'freehold-tables', async (source) => {
      pairTables(await readTables(source, move.source.schema), sides('target'))
      return publishedTables(source, move.state.slot)
    }),
    withClient(move.target.mover, 'freehold-tables', async (target) => {
      pairTables(sides('source'), await readTables(target, move.target.schema))
    }),
  ])
  const missing = sides('source').filter(({ table }) => !published.has(quoteTable(table)))
  if (missing.length === 0) return
  const names = missing.map(({ key }) => key).join(', ')
  throw new FreeholdError('schema_mismatch', `Not in the change stream, because it came later: ${names}.`)
}

async function publishedTables(source: ClientBase, publication: string | null): Promise<Set<string>> {
  const result = await source.query<{ schema: string; name: string }>(
    'select schemaname as schema, tablename as name from pg_publication_tables where pubname = $1',
    [publication],
  )
  return new Set(result.rows.map(quoteTable))
}
