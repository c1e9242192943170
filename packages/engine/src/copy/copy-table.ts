import { pipeline } from 'node:stream/promises'
import { inTransaction, quoteIdentifier, quoteTable } from '@freehold/postgres'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import type { TablePair } from '../database/tables.ts'
import { holdTarget } from '../database/target-claim.ts'
import type { CopyStream } from './copy-stream.ts'

/**
 * Copies the tenant's rows of one table, in one transaction of the target: all of them or none. Read as the tenant,
 * so that no other tenant's row can be among them.
 *
 * @param signal breaks it off; the stream is of no use afterwards.
 * @returns the rows copied, and the bytes that travelled.
 */
export async function copyTable(
  { source, target, claim }: CopyStream,
  tables: TablePair,
  signal: AbortSignal,
): Promise<{ rows: number; bytes: number }> {
  const { source: from, target: to } = tables
  const columns = from.columns.map((column) => quoteIdentifier(column.name)).join(', ')
  const format = from.columns.every((column) => column.binary) ? 'binary' : 'text'
  return inTransaction(target, async () => {
    await holdTarget(target, claim)
    const rows = source.query(
      copyTo(`copy (select ${columns} from ${quoteTable(from.table)}) to stdout (format ${format})`),
    )
    const sink = target.query(
      copyFrom(`copy ${quoteTable(to.table)} (${columns}) from stdin (format ${format})`),
    )
    let bytes = 0
    rows.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    await pipeline(rows, sink, { signal }).catch(async (error: unknown) => {
      // A COPY that is no longer read never ends, and a rollback would wait behind it for ever.
      await Promise.allSettled([source.end(), target.end()])
      throw error
    })
    return { rows: sink.rowCount, bytes }
  })
}
