import type { Expected } from './cell.ts'
import { columnIndex, type TableName, tables } from './tables.ts'

/** A row of a table from its columns by name. */
export function makeRow(table: TableName, cells: Readonly<Record<string, Expected>>): Expected[] {
  return tables[table].columns.map(({ name }) => {
    const cell = cells[name]
    if (cell === undefined) throw new Error(`no value for ${table}.${name}`)
    return cell
  })
}

/** The row with some columns changed. */
export function changeRow(
  table: TableName,
  row: readonly Expected[],
  changes: Readonly<Record<string, Expected>>,
): Expected[] {
  const changed = [...row]
  for (const [name, cell] of Object.entries(changes)) changed[columnIndex(tables[table], name)] = cell
  return changed
}

/** One value of a row. */
export function cellOf(table: TableName, row: readonly Expected[], column: string): Expected {
  const cell = row[columnIndex(tables[table], column)]
  if (cell === undefined) throw new Error(`the row has no ${table}.${column}`)
  return cell
}

/** One value of a row, which must have been seen and not be null. */
export function textOf(table: TableName, row: readonly Expected[], column: string): string {
  const cell = cellOf(table, row, column)
  if (typeof cell !== 'string') throw new Error(`the client does not know ${table}.${column}`)
  return cell
}
