import { pipeline } from 'node:stream/promises'
import { inTransaction, quoteIdentifier, quoteTable } from '@freehold/postgres'
import { to as copyTo } from 'pg-copy-streams'
import type { TablePair } from '../database/tables.ts'
import { holdTarget } from '../database/target-claim.ts'
import type { Pace } from '../move/pace.ts'
import type { CopyStream } from './copy-stream.ts'

/**
 * Copies the tenant's rows of one table, in one transaction of the target: all of them or none. Read as the tenant,
 * so that no other tenant's row can be among them.
 *
 * @param signal breaks it off; the stream is of no use afterwards.
 * @returns the rows copied, and the bytes that travelled.
 */
export async function copyTable(
  { source, target, claim, into }: CopyStream,
  { source: from, target: table }: TablePair,
  pace: Pick<Pace, 'gate'>,
  signal: AbortSignal,
): Promise<{ rows: number; bytes: number }> {
  const columns = from.columns.map(({ name }) => name)
  const names = columns.map(quoteIdentifier).join(', ')
  const format = from.columns.every((column) => column.binary) ? 'binary' : 'text'
  return inTransaction(target, async () => {
    await holdTarget(target, claim)
    const sink = await into.open(target, { table, columns, format })
    const rows = source.query(
      copyTo(`copy (select ${names} from ${quoteTable(from.table)}) to stdout (format ${format})`),
    )
    let bytes = 0
    rows.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    await pipeline(rows, pace.gate(format), sink.stream, { signal }).catch(async (error: unknown) => {
      // A COPY that is no longer read never ends, and a rollback would wait behind it for ever.
      await Promise.allSettled([source.end(), target.end()])
      throw error
    })
    return { rows: await sink.finish(), bytes }
  })
}
