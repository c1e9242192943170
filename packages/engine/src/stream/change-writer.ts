import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { QueryConfig } from 'pg'
import { type TableShape, tableKey } from '../database/tables.ts'
import type { Relation, RowChange, TextValue } from './pgoutput.ts'

/** A primary key's values as text, in the order of {@link TableShape.primaryKey}. */
export type Key = readonly string[]

/**
 * Turns row changes into prepared statements for the target. Rows are found by the target's primary key, and
 * columns by name, so the two sides may have their columns in different orders.
 */
export class ChangeWriter {
  readonly #shapes: ReadonlyMap<string, TableShape>
  readonly #statementNames = new Map<string, string>()

  constructor(tables: readonly TableShape[]) {
    this.#shapes = new Map(tables.map((shape) => [tableKey(shape.table), shape]))
  }

  /** The statement that carries the change over; it must touch exactly one row. */
  statement(change: RowChange): QueryConfig {
    const { table, primaryKey } = this.#shape(change.relation)
    switch (change.kind) {
      case 'insert': {
        const columns = present(change.relation, change.row)
        const names = columns.map((column) => quoteIdentifier(column.name)).join(', ')
        const places = columns.map((_, index) => `$${index + 1}`).join(', ')
        return this.#prepared(
          `insert into ${quoteTable(table)} (${names}) overriding system value values (${places})`,
          columns.map((column) => column.value),
        )
      }
      case 'update': {
        const columns = present(change.relation, change.row)
        const set = columns
          .map((column, index) => `${quoteIdentifier(column.name)} = $${index + 1}`)
          .join(', ')
        return this.#prepared(
          `update ${quoteTable(table)} set ${set} where ${keyCondition(primaryKey, columns.length)}`,
          [
            ...columns.map((column) => column.value),
            ...this.#key(change.relation, change.oldRow ?? change.row),
          ],
        )
      }
      case 'delete':
        return this.#prepared(`delete from ${quoteTable(table)} where ${keyCondition(primaryKey, 0)}`, [
          ...this.#key(change.relation, change.oldRow),
        ])
    }
  }

  /** The keys of the rows that the change touches: two when it changes the key itself. */
  touchedKeys(change: RowChange): { readonly shape: TableShape; readonly keys: readonly Key[] } {
    const shape = this.#shape(change.relation)
    const rows =
      change.kind === 'insert'
        ? [change.row]
        : change.kind === 'delete'
          ? [change.oldRow]
          : change.oldRow === undefined
            ? [change.row]
            : [change.oldRow, change.row]
    return { shape, keys: rows.map((row) => this.#key(change.relation, row)) }
  }

  #shape(relation: Relation): TableShape {
    const shape = this.#shapes.get(tableKey(relation.table))
    if (shape === undefined) {
      throw new Error(`the change stream names ${tableKey(relation.table)}, which is not a table of the move`)
    }
    return shape
  }

  #key(relation: Relation, row: readonly TextValue[]): Key {
    return this.#shape(relation).primaryKey.map(({ name }) => {
      const value = row[relation.columns.findIndex((column) => column.name === name)]
      if (typeof value !== 'string') {
        throw new Error(`a change of ${tableKey(relation.table)} carries no value for its key column ${name}`)
      }
      return value
    })
  }

  #prepared(text: string, values: (string | null)[]): QueryConfig {
    let name = this.#statementNames.get(text)
    if (name === undefined) {
      name = `apply_${this.#statementNames.size}`
      this.#statementNames.set(text, name)
    }
    return { name, text, values }
  }
}

function present(relation: Relation, row: readonly TextValue[]): { name: string; value: string | null }[] {
  return relation.columns.flatMap((column, index) => {
    const value = row[index]
    return value === undefined ? [] : [{ name: column.name, value }]
  })
}

function keyCondition(primaryKey: TableShape['primaryKey'], offset: number): string {
  return primaryKey
    .map(({ name }, index) => `${quoteIdentifier(name)} = $${offset + index + 1}`)
    .join(' and ')
}
