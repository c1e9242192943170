import { setTimeout as sleep } from 'node:timers/promises'
import { FreeholdError } from '@freehold/contract'
import { quoteIdentifier, quoteLiteral, quoteTable, withClient } from '@freehold/postgres'
import type { ClientBase } from 'pg'
import { asTenant, type TenantScope } from '../database/entered.ts'
import { useExactText } from '../database/exact-text.ts'
import { tableKey } from '../database/table-key.ts'
import type { TablePair } from '../database/tables.ts'
import type { RowChange, TextValue } from './pgoutput.ts'
import { asSent } from './table-statements.ts'

const POLL_MS = 20

type Insert = RowChange & { readonly kind: 'insert' }

interface Incomplete {
  readonly from: TenantScope
  readonly tables: readonly TablePair[]
  readonly changes: readonly RowChange[]
  /** The source transaction that has made them. */
  readonly xid: number
  /** What the source is to be read under; what is committed now, unless given. */
  readonly snapshot: string | undefined
}

/**
 * Reads what the log does not tell. A row that enters the tenant, because its tenant column was changed, is told as new, but
 * without the values that are stored out of line and were not changed with it. They are read from the source as they are now: what
 * has changed since then is in the log behind, so that the target comes to the same in the end.
 *
 * @throws FreeholdError `row_not_readable` when the row has left the tenant again.
 */
export async function completeChanges(incomplete: Incomplete): Promise<readonly RowChange[]> {
  const { from, changes, xid, snapshot } = incomplete
  if (!changes.some(isIncomplete)) return changes
  const adopt = snapshot === undefined ? '' : `; set transaction snapshot ${quoteLiteral(snapshot)}`
  return withClient(from.mover, 'freehold-stream', async (client) => {
    await useExactText(client)
    await awaitVisible(client, xid)
    const read = async () => {
      const completed: RowChange[] = []
      for (const change of changes) {
        completed.push(isIncomplete(change) ? await complete(client, change, incomplete.tables) : change)
      }
      return completed
    }
    return asTenant(client, from, read, `begin isolation level repeatable read read only${adopt}`)
  })
}

function isIncomplete(change: RowChange): change is Insert {
  return change.kind === 'insert' && change.row.includes(undefined)
}

/** A transaction is told as soon as its commit is in the log, and shown a little later: then it holds its lock no more. */
async function awaitVisible(client: ClientBase, xid: number): Promise<void> {
  for (;;) {
    const held = await client.query(
      "select from pg_locks where locktype = 'transactionid' and transactionid = $1::text::xid and granted",
      [xid],
    )
    if (held.rowCount === 0) return
    await sleep(POLL_MS)
  }
}

async function complete(
  client: ClientBase,
  change: Insert,
  tables: readonly TablePair[],
): Promise<RowChange> {
  const { table, columns } = change.relation
  const pair = tables.find(({ source }) => quoteTable(source.table) === quoteTable(table))
  const values = new Map(columns.map(({ name }, index) => [name, change.row[index]]))
  const key = pair?.source.primaryKey ?? []
  const found = await client.query<TextValue[]>({
    text: `select ${columns.map(({ name }) => quoteIdentifier(name)).join(', ')} from ${quoteTable(table)}
           where ${key.map(({ name, type }, part) => `${quoteIdentifier(name)} = $${part + 1}::text::${type}`).join(' and ')}`,
    values: key.map(({ name }) => values.get(name)),
    rowMode: 'array',
    types: asSent,
  })
  const now = found.rows[0]
  if (now === undefined) {
    throw new FreeholdError(
      'row_not_readable',
      `A row of ${tableKey(table)} came to the tenant by a change of its tenant column, and left again before all of it could be read.`,
    )
  }
  return { ...change, row: change.row.map((value, index) => (value === undefined ? now[index] : value)) }
}
