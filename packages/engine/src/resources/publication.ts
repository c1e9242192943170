import { quoteIdentifier, quoteLiteral, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { TableShape } from '../database/tables.ts'

/**
 * Publishes one tenant's rows of the tenant tables; safe to run twice. TRUNCATE, to which no row filter
 * applies, is published so that the move can end at it. A partitioned table is published as itself, so that
 * source and target may be partitioned differently.
 *
 * @param owner connected as the owner of the tables.
 */
export async function createPublication(
  owner: ClientBase,
  name: string,
  tables: readonly TableShape[],
  tenantId: string,
): Promise<void> {
  const filtered = tables.map(
    (shape) =>
      `${quoteTable(shape.table)} where (${quoteIdentifier(shape.tenantColumn)} = ${quoteLiteral(tenantId)})`,
  )
  await dropPublication(owner, name)
  await owner.query(
    `create publication ${quoteIdentifier(name)} for table ${filtered.join(', ')}
     with (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)`,
  )
}

/** Safe to run twice. */
export async function dropPublication(owner: ClientBase, name: string): Promise<void> {
  await owner.query(`drop publication if exists ${quoteIdentifier(name)}`)
}
