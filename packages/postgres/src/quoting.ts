import pg from 'pg'

/** Quotes an identifier (table, column, role, database). */
export const quoteIdentifier = pg.escapeIdentifier

/** Quotes a string as a literal, for the few statements that take no parameters (DDL, replication commands). */
export const quoteLiteral = pg.escapeLiteral

/** A table in its schema. */
export interface TableName {
  readonly schema: string
  readonly name: string
}

/** Quotes a table with its schema. */
export function quoteTable(table: TableName): string {
  return `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.name)}`
}
