import { FreeholdError } from '@freehold/contract'
import {
  hasSqlState,
  inTransaction,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
  SQLSTATE,
} from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { outwaitAutovacuum } from '../database/autovacuum.ts'
import type { TableShape } from '../database/tables.ts'
import type { Patience } from '../stream/change-stream.ts'

/**
 * Publishes one tenant's rows of the tenant tables; safe to run twice. TRUNCATE, to which no row filter
 * applies, is published so that the move can end at it. A partitioned table is published as itself, so that
 * source and target may be partitioned differently.
 *
 * @param owner connected as the owner of the tables.
 * @throws FreeholdError `source_busy` when somebody holds a table all the time, as one who makes an index or cleans it up does, or the
 * reason of the signal.
 */
export async function createPublication(
  owner: ClientBase,
  name: string,
  tables: readonly TableShape[],
  tenantId: string,
  patience: Patience,
): Promise<void> {
  const filtered = tables.map(
    (shape) =>
      `${quoteTable(shape.table)} where (${quoteIdentifier(shape.tenantColumn)} = ${quoteLiteral(tenantId)})`,
  )
  const create = async () => {
    // Writers do not wait behind the lock that a publication needs; whoever makes an index does. And so a cancel is heard.
    await outwaitAutovacuum(owner)
    await dropPublication(owner, name)
    await owner.query(
      `create publication ${quoteIdentifier(name)} for table ${filtered.join(', ')}
       with (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)`,
    )
  }
  const deadline = performance.now() + patience.timeoutMs
  for (;;) {
    patience.signal.throwIfAborted()
    try {
      await inTransaction(owner, create)
      return
    } catch (error) {
      if (!hasSqlState(error, SQLSTATE.lockNotAvailable)) throw error
      if (performance.now() >= deadline) throw tableHeld(tables, error)
    }
  }
}

function tableHeld(tables: readonly TableShape[], cause: unknown): FreeholdError {
  const names = tables.map(({ key }) => key).join(', ')
  return new FreeholdError(
    'source_busy',
    `Somebody holds a lock on one of these tables that keeps them from being published: ${names}.`,
    { cause },
  )
}

/** Safe to run twice. */
export async function dropPublication(owner: ClientBase, name: string): Promise<void> {
  await owner.query(`drop publication if exists ${quoteIdentifier(name)}`)
}
