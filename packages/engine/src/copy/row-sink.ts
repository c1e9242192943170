import { type DatabaseAddress, quoteIdentifier, quoteTable } from '@freehold/postgres'
import type pg from 'pg'
import { type CopyStreamQuery, from as copyFrom } from 'pg-copy-streams'
import type { TableShape } from '../database/tables.ts'

/** What is about to be copied into one table. */
interface IncomingRows {
  readonly table: TableShape
  readonly columns: readonly string[]
  readonly format: 'binary' | 'text'
}

/** Where copied rows go. */
export interface RowSink {
  /** Who writes them. */
  readonly address: DatabaseAddress
  /** Opens a table for rows in COPY's format, in the transaction that `client` has open. */
  open(client: pg.Client, rows: IncomingRows): Promise<OpenTable>
}

interface OpenTable {
  readonly stream: CopyStreamQuery
  /** Called when the stream has ended. @returns the rows that are in the table now. */
  finish(): Promise<number>
}

/** Straight into bare tables, as their owner. */
export function bareTableSink(owner: DatabaseAddress): RowSink {
  return {
    address: owner,
    async open(client, { table, columns, format }) {
      const names = columns.map(quoteIdentifier).join(', ')
      const stream = client.query(
        copyFrom(`copy ${quoteTable(table.table)} (${names}) from stdin (format ${format})`),
      )
      return { stream, finish: async () => stream.rowCount }
    },
  }
}
