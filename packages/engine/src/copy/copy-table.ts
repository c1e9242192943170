import { pipeline } from 'node:stream/promises'
import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import { to as copyTo } from 'pg-copy-streams'
import type { TablePair } from '../database/tables.ts'
import type { Pace } from '../move/pace.ts'
import type { CopyStream } from './copy-stream.ts'
import type { CopiedRows, IncomingRows } from './row-sink.ts'

/**
 * Copies the tenant's rows of one table. Read as the tenant, so that no other tenant's row can be among them.
 *
 * @param onRows told of rows that are there before all are, where rows come bit by bit.
 * @param signal breaks it off; the stream is of no use afterwards.
 * @returns the rows copied, and the bytes that travelled.
 */
export async function copyTable(
  { source, writers, claim, into }: CopyStream,
  { source: from, target: table }: TablePair,
  pace: Pick<Pace, 'gate'>,
  onRows: (copied: CopiedRows) => void,
  signal: AbortSignal,
): Promise<CopiedRows> {
  const columns = from.columns.map(({ name }) => name)
  const names = columns.map(quoteIdentifier).join(', ')
  const format = from.columns.every((column) => column.binary) ? 'binary' : 'text'
  let bytes = 0
  // A COPY that is no longer read never ends, and a rollback would wait behind it for ever.
  const cut = () => Promise.allSettled([source, ...writers].map((client) => client.end()))
  const pour: IncomingRows['pour'] = async (into) => {
    const rows = source.query(
      copyTo(`copy (select ${names} from ${quoteTable(from.table)}) to stdout (format ${format})`),
    )
    rows.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    signal.addEventListener('abort', cut, { once: true })
    try {
      await pipeline(rows, pace.gate(format), into, { signal })
    } catch (error) {
      await cut()
      signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', cut)
    }
  }
  const rows = await into.take(writers, { table, columns, format, claim, pour, onRows })
  return { rows, bytes }
}
