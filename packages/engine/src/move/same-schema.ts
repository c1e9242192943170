import { FreeholdError } from '@freehold/contract'
import { quoteTable, withClient } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { readTables, requireSameTables, type TableShape, tableKey } from '../database/tables.ts'
import type { Move } from './move.ts'

/**
 * Checks that the tables at the source are still those of the move, that the target has the same, and that the change
 * stream carries each of them: a table that came later is in no publication, and its rows would be lost.
 *
 * @param tables what this worker knows the tables to be.
 * @throws FreeholdError `schema_mismatch`, naming the tables, or what `readTables` throws.
 */
export async function requireSameSchema(move: Move, tables: readonly TableShape[]): Promise<void> {
  const [published, atTarget] = await Promise.all([
    withClient(move.source.mover, 'freehold-tables', async (source) => {
      requireSameTables(tables, await readTables(source))
      return publishedTables(source, move.state.slot)
    }),
    withClient(move.target.mover, 'freehold-tables', readTables),
  ])
  requireSameTables(tables, atTarget)
  const missing = tables.filter(({ table }) => !published.has(quoteTable(table)))
  if (missing.length === 0) return
  const names = missing.map(({ table }) => tableKey(table)).join(', ')
  throw new FreeholdError('schema_mismatch', `Not in the change stream, because it came later: ${names}.`)
}

async function publishedTables(source: ClientBase, publication: string | null): Promise<Set<string>> {
  const result = await source.query<{ schema: string; name: string }>(
    'select schemaname as schema, tablename as name from pg_publication_tables where pubname = $1',
    [publication],
  )
  return new Set(result.rows.map(quoteTable))
}
