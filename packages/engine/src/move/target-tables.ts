import type pg from 'pg'
import { readTables, type TableShape } from '../database/tables.ts'
import type { Move } from './move.ts'

/**
 * The tenant's tables where the move leads. On the way back the tenant has nothing in what others have made there since, so that
 * an undeclared table beside its own is nothing to the move; at its home the tenant may have.
 *
 * @throws FreeholdError what `readTables` throws.
 */
export function readTargetTables({ direction, target }: Move, client: pg.ClientBase): Promise<TableShape[]> {
  return readTables(client, target.schema, ({ code }) => direction === 'forth' || code !== 'table_undeclared')
}
