import { pipeline } from 'node:stream/promises'
import {
  type DatabaseAddress,
  inTransaction,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
  withClient,
} from '@freehold/postgres'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import { asTenant, type TenantScope } from '../database/entered.ts'
import { useExactText } from '../database/exact-text.ts'
import type { TablePair } from '../database/tables.ts'
import { holdTarget, type TargetClaim, targetWriters } from '../database/target-claim.ts'

export interface TableCopy {
  readonly tables: TablePair
  readonly source: TenantScope
  /** Exported by the slot's creation: the copy holds exactly what the change stream does not. */
  readonly snapshot: string
  /** As the owner of the bare tables. */
  readonly target: DatabaseAddress
  readonly claim: TargetClaim
  readonly signal: AbortSignal
}

/**
 * Copies the tenant's rows of one table, in one transaction of the target: all of them or none. Read as the tenant,
 * so that no other tenant's row can be among them.
 *
 * @returns the rows copied, and the bytes that travelled.
 */
export async function copyTable(copy: TableCopy): Promise<{ rows: number; bytes: number }> {
  const { source: from, target: to } = copy.tables
  const columns = from.columns.map((column) => quoteIdentifier(column.name)).join(', ')
  const format = from.columns.every((column) => column.binary) ? 'binary' : 'text'
  const name = targetWriters(copy.claim.stream).copy
  return withClient(copy.source.mover, name, (source) =>
    withClient(copy.target, name, (target) =>
      inTransaction(target, async () => {
        await holdTarget(target, copy.claim)
        if (format === 'text') await Promise.all([useExactText(source), useExactText(target)])
        return asTenant(
          source,
          copy.source,
          async () => {
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
            await pipeline(rows, sink, { signal: copy.signal }).catch(async (error: unknown) => {
              // A COPY that is no longer read never ends, and a rollback would wait behind it for ever.
              await Promise.allSettled([source.end(), target.end()])
              throw error
            })
            return { rows: sink.rowCount, bytes }
          },
          `begin isolation level repeatable read read only; set transaction snapshot ${quoteLiteral(copy.snapshot)}`,
        )
      }),
    ),
  )
}
