import { FreeholdError } from '@freehold/contract'
import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { tableKey } from './table-key.ts'
import type { TableShape } from './tables.ts'

/**
 * Checks that a silo holds rows of its tenant only. Everybody who enters as the tenant is shown none but its own, so this
 * looks as the owner, with row security off for as long as the transaction lasts, which is rolled back.
 *
 * @param owner connected as the owner of the tables, while nobody else uses them.
 * @throws FreeholdError `verification_failed`, naming the first table with another tenant's row.
 */
export async function requireNobodyElse(
  owner: ClientBase,
  tables: readonly TableShape[],
  tenantId: string,
): Promise<void> {
  for (const shape of tables) {
    if (!(await hasForeignRow(owner, shape, tenantId))) continue
    const table = tableKey(shape.table)
    throw new FreeholdError(
      'verification_failed',
      `Table ${table} at the target holds another tenant's rows.`,
      {
        details: { table },
      },
    )
  }
}

async function hasForeignRow(owner: ClientBase, shape: TableShape, tenantId: string): Promise<boolean> {
  const table = quoteTable(shape.table)
  const tenant = quoteIdentifier(shape.tenantColumn)
  await owner.query('begin')
  try {
    await owner.query(`set local lock_timeout = '10s'; alter table ${table} no force row level security`)
    // Two ranges rather than one inequality: the key's index, which begins with the tenant, answers at once.
    const found = await owner.query<{ foreign_row: boolean }>(
      `select exists (select from ${table} where ${tenant} < $1) or exists (select from ${table} where ${tenant} > $1)
         as foreign_row`,
      [tenantId],
    )
    return found.rows[0]?.foreign_row !== false
  } finally {
    await owner.query('rollback').catch(() => undefined)
  }
}
