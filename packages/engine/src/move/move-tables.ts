import type pg from 'pg'
import { pairTables, readTables, type TablePair, type TableShape } from '../database/tables.ts'
import type { Move } from './move.ts'

/**
 * The tenant's tables at both ends, read once by each worker.
 *
 * @throws FreeholdError `schema_mismatch` when the two ends differ, and what `readTables` throws.
 */
export async function moveTables(move: Move): Promise<readonly TablePair[]> {
  move.session.tables ??= pairTables(...(await readBothEnds(move)))
  return move.session.tables
}

/** @throws FreeholdError what `readTables` throws. */
export async function readBothEnds(move: Move): Promise<[source: TableShape[], target: TableShape[]]> {
  const { source, target, connections } = move
  return Promise.all([
    connections.use(source.mover, (client) => readTables(client, source.schema)),
    connections.use(target.mover, (client) => readTargetTables(move, client)),
  ])
}

/**
 * The tenant's tables where the move leads. On the way back the tenant has nothing in what others have made there since, so that
 * an undeclared table beside its own is nothing to the move; at its home the tenant may have.
 *
 * @throws FreeholdError what `readTables` throws.
 */
function readTargetTables({ direction, target }: Move, client: pg.ClientBase): Promise<TableShape[]> {
  return readTables(client, target.schema, ({ code }) => direction === 'forth' || code !== 'table_undeclared')
}
