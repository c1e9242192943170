import { quoteTable, type TableName } from '@freehold/postgres'
import type pg from 'pg'
import type { CopiedRows } from '../copy/row-sink.ts'
import type { TablePair } from '../database/tables.ts'
import type { ProgressReport } from './progress-report.ts'

/** Follows a copy and shows it: rows and bytes per table, rate and time to go. */
export class CopyMeter {
  readonly #report: ProgressReport
  readonly #started = performance.now()
  readonly #finished = new Set<string>()

  constructor(report: ProgressReport) {
    this.#report = report
    report.update({
      rowsCopied: 0,
      bytesCopied: 0,
      tables: report.current.tables.map((table) => ({ ...table, rowsCopied: 0, bytesCopied: 0 })),
    })
  }

  /** Reads how far the copies that run straight into their tables are, from the target itself. */
  async sample(target: pg.ClientBase, tables: readonly TablePair[]): Promise<void> {
    const names = new Map(tables.map(({ target }) => [quoteTable(target.table), target.key]))
    const result = await target.query<TableName & { rows: string; bytes: string }>(
      `select nspname as schema, relname as name, tuples_processed as rows, bytes_processed as bytes
       from pg_stat_progress_copy
       join pg_class on pg_class.oid = relid join pg_namespace on pg_namespace.oid = relnamespace
       where datname = current_database()`,
    )
    for (const row of result.rows) {
      const table = names.get(quoteTable(row))
      // A table may have been finished while the answer was on its way, which would take it back to where it was.
      if (table !== undefined && !this.#finished.has(table))
        this.#show(table, Number(row.rows), Number(row.bytes))
    }
  }

  /** Rows of a table that is not copied whole yet are there. */
  passed({ target: table }: TablePair, { rows, bytes }: CopiedRows): void {
    const known = this.#report.current.tables.find((each) => each.table === table.key)
    if (known !== undefined) this.#show(table.key, known.rowsCopied + rows, known.bytesCopied + bytes)
  }

  /** A table is copied whole: how many rows it has is known now. */
  finished({ target: table }: TablePair, rows: number, bytes: number): void {
    this.#finished.add(table.key)
    this.#show(table.key, rows, bytes, rows)
  }

  /** @param inAll the rows of the table; when that is not known, as many as were estimated, or as have come if those are more. */
  #show(name: string, rowsCopied: number, bytesCopied: number, inAll?: number): void {
    const tables = this.#report.current.tables.map((table) =>
      table.table === name
        ? {
            ...table,
            rowsCopied,
            bytesCopied,
            rowsEstimated: inAll ?? Math.max(table.rowsEstimated, rowsCopied),
          }
        : table,
    )
    const copied = tables.reduce((sum, table) => sum + table.rowsCopied, 0)
    const estimated = tables.reduce((sum, table) => sum + table.rowsEstimated, 0)
    const rowsPerSecond = copied / ((performance.now() - this.#started) / 1000)
    this.#report.update({
      tables,
      rowsCopied: copied,
      rowsEstimated: estimated,
      bytesCopied: tables.reduce((sum, table) => sum + table.bytesCopied, 0),
      rowsPerSecond: Math.round(rowsPerSecond),
      etaSeconds: rowsPerSecond > 0 ? (estimated - copied) / rowsPerSecond : null,
    })
  }
}
