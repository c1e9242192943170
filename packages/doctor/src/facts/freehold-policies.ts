import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import type { Facts, Table } from './model.ts'

const SCRATCH = 'freehold_doctor_scratch'

/**
 * What freehold.protect_table() makes a policy say now: it is asked, with an empty table of the same tenant column in
 * the same schema, inside a transaction that the caller rolls back. So a policy is compared with what this version of
 * the schema `freehold` makes, and not with what this program remembers.
 *
 * @returns null for a table whose policy could not be had, because this connection may not create one there.
 */
export async function readFreeholdPolicies(
  client: ClientBase,
  tables: readonly Table[],
): Promise<Facts['freeholdPolicies']> {
  const byShape = new Map<string, { using: string; check: string } | null>()
  const result = new Map<number, { using: string; check: string } | null>()
  for (const table of tables) {
    const column = table.columns.find(({ name }) => name === table.tenantColumn)
    if (!column) continue
    const shape = JSON.stringify([table.schema, column.name, column.type])
    if (!byShape.has(shape)) byShape.set(shape, await ask(client, table.schema, column.name, column.type))
    result.set(table.oid, byShape.get(shape) ?? null)
  }
  return result
}

async function ask(
  client: ClientBase,
  schema: string,
  column: string,
  type: string,
): Promise<{ using: string; check: string } | null> {
  const scratch = quoteTable({ schema, name: SCRATCH })
  await client.query('savepoint freehold_doctor')
  try {
    await client.query(`create table ${scratch} (${quoteIdentifier(column)} ${type} not null)`)
    await client.query(`select freehold.protect_table($1::regclass, $2::name)`, [scratch, column])
    const { rows } = await client.query<{ using: string; check: string }>(
      `select pg_get_expr(polqual, polrelid) as using, pg_get_expr(polwithcheck, polrelid) as check
       from pg_policy where polrelid = $1::regclass and polname = 'freehold_tenant'`,
      [scratch],
    )
    return rows[0] ?? null
  } catch {
    return null
  } finally {
    await client.query('rollback to savepoint freehold_doctor')
  }
}
