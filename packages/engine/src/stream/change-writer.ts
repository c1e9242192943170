import { FreeholdError } from '@freehold/contract'
import { quoteIdentifier, quoteTable } from '@freehold/postgres'
import type { QueryConfig } from 'pg'
import { tableKey } from '../database/table-key.ts'
import type { TablePair, TableShape } from '../database/tables.ts'
import type { Key } from './change-stream.ts'
import type { Relation, RowChange, TextValue } from './pgoutput.ts'

/**
 * Turns row changes into prepared statements for the target. Rows are found by the target's primary key, and
 * columns by name, so the two sides may have their columns in different orders.
 */
export class ChangeWriter {
  readonly #tables: ReadonlyMap<string, TablePair>
  readonly #statementNames = new Map<string, string>()

  constructor(tables: readonly TablePair[]) {
    this.#tables = new Map(tables.map((pair) => [quoteTable(pair.source.table), pair]))
  }

  /** The statement that carries the change over; it must touch exactly one row. */
  statement(change: RowChange): QueryConfig {
    const { table, primaryKey } = this.#pair(change.relation).target
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
      case 'update':
        return this.#update(change)
      case 'delete':
        return this.#prepared(`delete from ${quoteTable(table)} where ${keyCondition(primaryKey, 0)}`, [
          ...this.#key(change.relation, change.oldRow),
        ])
    }
  }

  /**
   * Checks that the source's table has the columns that it had when the move read them. Partitions describe themselves
   * beside the partitioned table in whose name their rows come; they are passed over.
   *
   * @throws FreeholdError `schema_mismatch` when it has not.
   */
  requireKnown(relation: Relation): void {
    const names = (columns: readonly { readonly name: string }[]) =>
      JSON.stringify(columns.map(({ name }) => name).sort())
    const source = this.#tables.get(quoteTable(relation.table))?.source
    if (source === undefined || names(source.columns) === names(relation.columns)) return
    throw new FreeholdError(
      'schema_mismatch',
      `The columns of ${tableKey(relation.table)} were changed at the source during the move.`,
    )
  }

  /** The keys of the rows that the change touches: two when it changes the key itself. */
  touchedKeys(change: RowChange): { readonly tables: TablePair; readonly keys: readonly Key[] } {
    const tables = this.#pair(change.relation)
    const rows =
      change.kind === 'insert'
        ? [change.row]
        : change.kind === 'delete'
          ? [change.oldRow]
          : change.oldRow === undefined
            ? [change.row]
            : [change.oldRow, change.row]
    return { tables, keys: rows.map((row) => this.#key(change.relation, row)) }
  }

  #update(change: RowChange & { kind: 'update' }): QueryConfig {
    const { table, primaryKey, columns: all } = this.#pair(change.relation).target
    const key = this.#key(change.relation, change.oldRow ?? change.row)
    const always = new Set(all.filter((column) => column.alwaysIdentity).map(({ name }) => name))
    const keyNames = new Set(primaryKey.map(({ name }) => name))
    const columns = present(change.relation, change.row)
    // Part of a key that has not changed, an identity has not changed; otherwise nobody says whether it has.
    const settable = columns.filter(({ name }) => !always.has(name))
    const identityKept = change.oldRow === undefined && [...always].every((name) => keyNames.has(name))
    if (settable.length < columns.length && !identityKept) return this.#replace(change, key)
    const set = settable.map(({ name }, index) => `${quoteIdentifier(name)} = $${index + 1}`).join(', ')
    return this.#prepared(
      `update ${quoteTable(table)} set ${set} where ${keyCondition(primaryKey, settable.length)}`,
      [...settable.map((column) => column.value), ...key],
    )
  }

  /** An identity that is GENERATED ALWAYS can be inserted as it is and not updated: the row is put in anew. */
  #replace(change: RowChange & { kind: 'update' }, key: Key): QueryConfig {
    const shape = this.#pair(change.relation).target
    const given = present(change.relation, change.row)
    const places = new Map(given.map(({ name }, index) => [name, `$${index + 1}`]))
    const values = shape.columns.map(({ name, type }) => {
      const place = places.get(name)
      return place === undefined ? `former.${quoteIdentifier(name)}` : `${place}::${type}`
    })
    return this.#prepared(
      `with former as (
         delete from ${quoteTable(shape.table)} where ${keyCondition(shape.primaryKey, given.length)} returning *
       )
       insert into ${quoteTable(shape.table)} (${shape.columns.map(({ name }) => quoteIdentifier(name)).join(', ')})
       overriding system value select ${values.join(', ')} from former`,
      [...given.map(({ value }) => value), ...key],
    )
  }

  #pair(relation: Relation): TablePair {
    const pair = this.#tables.get(quoteTable(relation.table))
    if (pair === undefined) {
      throw new FreeholdError(
        'schema_mismatch',
        `The change stream names ${tableKey(relation.table)}, which was no table of the tenant when the move began.`,
      )
    }
    return pair
  }

  #key(relation: Relation, row: readonly TextValue[]): Key {
    return this.#pair(relation).target.primaryKey.map(({ name }) => {
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
