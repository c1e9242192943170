import pg from 'pg'
import { prepareValue } from 'pg/lib/utils.js'

/** Quotes an identifier (table, column, role, database). */
export const quoteIdentifier = pg.escapeIdentifier

/** Quotes a string as a literal, for the few statements that take no parameters (DDL, replication commands). */
export const quoteLiteral = pg.escapeLiteral

/** Writes a value as a literal without a type, which means to the server what a parameter does. */
export function quoteValue(value: unknown): string {
  const wire = prepareValue(value)
  if (wire === null) return 'null'
  return quoteLiteral(typeof wire === 'string' ? wire : `\\x${wire.toString('hex')}`)
}

/** A table in its schema. */
export interface TableName {
  readonly schema: string
  readonly name: string
}

/** Quotes a table with its schema. */
export function quoteTable(table: TableName): string {
  return `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.name)}`
}
