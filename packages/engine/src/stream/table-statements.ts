import { FreeholdError } from '@freehold/contract'
import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import pg from 'pg'
import type { TablePair, TableShape } from '../database/tables.ts'
import type { Key } from './change-stream.ts'

/** A row's values as the server writes them, in the order of the source's columns. */
export type TextRow = readonly (string | null)[]

/** Values as they are sent: nothing is made of them that could be written in another way again. */
export const asSent: pg.CustomTypesConfig = { getTypeParser: () => (value: string) => value }

/** The statements that take rows of one table from the source by their keys, and bring the target's rows to the same. */
export class TableStatements {
  readonly tables: TablePair
  readonly #remove: string
  readonly #rows: string
  readonly #put: pg.QueryConfig

  /** @param index tells the table from the others of the same session. */
  constructor(tables: TablePair, index: number) {
    this.tables = tables
    const { source, target } = tables
    const names = source.columns.map(({ name }) => quoteIdentifier(name))
    this.#remove = `delete from ${quoteTable(target.table)} t using ${named(target)} where ${matching(target)}`
    // Looked up key by key, whatever the server believes of the table's size. Two of the keys may be different texts of
    // one value (1.0 and 1.00).
    this.#rows = `
      select ${names.join(', ')} from (
        select distinct on (found.tableoid, found.ctid) found.*
        from ${named(source)}
        cross join lateral (
          select t.tableoid, t.ctid, ${names.map((name) => `t.${name}`).join(', ')}
          from ${quoteTable(source.table)} t where ${matching(source)} offset 0
        ) found
      ) changed`
    this.#put = {
      name: `put_${index}`,
      text: `insert into ${quoteTable(target.table)} (${names.join(', ')}) overriding system value
             values (${names.map((_, position) => `$${position + 1}`).join(', ')})`,
    }
  }

  /** At the target: removes the rows with these keys. */
  remove(keys: readonly Key[]): pg.QueryConfig {
    return { text: this.#remove, values: this.#parts(keys) }
  }

  /** At the source: the rows with these keys that there are. */
  rows(keys: readonly Key[]): pg.QueryArrayConfig {
    return { text: this.#rows, values: this.#parts(keys), rowMode: 'array', types: asSent }
  }

  /** At the target: puts a row there. */
  put(row: TextRow): pg.QueryConfig {
    return { ...this.#put, values: [...row] }
  }

  /** What it means that the table cannot be read as it was read before. */
  asSchemaMismatch(error: unknown): unknown {
    if (!(error instanceof pg.DatabaseError) || !error.code?.startsWith('42')) return error
    const message = `The columns of ${this.tables.source.key} were changed at the source during the move.`
    return new FreeholdError('schema_mismatch', message, { cause: error })
  }

  /** Keys as one array for each of their columns. */
  #parts(keys: readonly Key[]): string[][] {
    return this.tables.source.primaryKey.map((_, part) => keys.map((key) => key[part] ?? ''))
  }
}

function named({ primaryKey }: TableShape): string {
  const arrays = primaryKey.map((_, part) => `$${part + 1}::text[]`).join(', ')
  return `unnest(${arrays}) k (${primaryKey.map((_, part) => `k${part}`).join(', ')})`
}

function matching({ primaryKey }: TableShape): string {
  return primaryKey
    .map(({ name, type }, part) => `t.${quoteIdentifier(name)} = k.k${part}::${type}`)
    .join(' and ')
}
