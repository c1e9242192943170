import { type DatabaseAddress, inTransaction, quoteIdentifier, quoteTable } from '@freehold/postgres'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import type { TableShape } from '../database/tables.ts'
import { holdTarget, type TargetClaim } from '../database/target-claim.ts'

/** Rows and bytes of a table. */
export interface CopiedRows {
  readonly rows: number
  readonly bytes: number
}

/** The rows of one table on their way to the target. */
export interface IncomingRows {
  readonly table: TableShape
  readonly columns: readonly string[]
  readonly format: 'binary' | 'text'
  readonly claim: TargetClaim
  /** Sends them, as COPY writes them, to a stream or to whoever reads them; can be called once. */
  readonly pour: (into: NodeJS.WritableStream | ChunkReader) => Promise<void>
  /** To be told of rows that are in the table before all are. */
  readonly onRows: (copied: CopiedRows) => void
}

type ChunkReader = (chunks: AsyncIterable<Buffer>) => Promise<void>

/** Where copied rows go. */
export interface RowSink {
  /** Who writes them. */
  readonly address: DatabaseAddress
  /** How many connections the rows of one table are written by. */
  readonly writers: number
  /**
   * Puts the rows into their table.
   *
   * @param writers connections for nothing else, outside of a transaction.
   * @returns how many there were.
   */
  take(writers: readonly pg.Client[], incoming: IncomingRows): Promise<number>
}

/**
 * Straight into bare tables, as their owner; in one transaction, all of a table or nothing. The commit does not wait for the
 * disk: what puts the tables' parts back and gathers statistics commits after it and does, and the log is written in order.
 */
export function bareTableSink(owner: DatabaseAddress): RowSink {
  return {
    address: owner,
    writers: 1,
    async take([writer], { table, columns, format, claim, pour }) {
      if (writer === undefined) throw new Error('there is no connection to write by')
      return inTransaction(writer, async () => {
        await holdTarget(writer, claim)
        await writer.query('set local synchronous_commit = off')
        const names = columns.map(quoteIdentifier).join(', ')
        const stream = writer.query(
          copyFrom(`copy ${quoteTable(table.table)} (${names}) from stdin (format ${format})`),
        )
        await pour(stream)
        return stream.rowCount
      })
    },
  }
}
