import type { Cell } from './cell.ts'
import { jsonbText } from './jsonb-text.ts'

type ColumnType = 'plain' | 'instant' | 'json' | 'bytes'

/** What the client compares of a table: every column but the tenant's and those that name the row. */
export interface Table {
  readonly name: TableName
  /** The columns that name the row within its tenant. */
  readonly key: readonly string[]
  readonly columns: readonly { readonly name: string; readonly type: ColumnType; readonly generated?: true }[]
}

export type TableName = 'customers' | 'products' | 'orders' | 'order_lines' | 'order_events'

const plain = (...names: string[]) => names.map((name) => ({ name, type: 'plain' as const }))
const instant = (name: string) => ({ name, type: 'instant' as const })
const json = (name: string) => ({ name, type: 'json' as const })

/** The product's tables, parents before children. Text arrays are compared as the JSON that they convert to. */
export const tables: Readonly<Record<TableName, Table>> = {
  customers: {
    name: 'customers',
    key: ['id'],
    columns: [
      ...plain('email', 'name', 'phone', 'born_on'),
      json('address'),
      json('labels'),
      ...plain('credit_limit', 'newsletter'),
      instant('created_at'),
      instant('updated_at'),
    ],
  },
  products: {
    name: 'products',
    key: ['id'],
    columns: [
      ...plain('sku', 'name', 'description', 'price', 'currency', 'stock', 'weight_kg'),
      json('attributes'),
      json('tags'),
      { name: 'image_digest', type: 'bytes' },
      instant('created_at'),
      instant('updated_at'),
    ],
  },
  orders: {
    name: 'orders',
    key: ['id'],
    columns: [
      ...plain('number', 'customer_id', 'status', 'currency', 'total', 'reference', 'note'),
      json('shipping'),
      instant('placed_at'),
      instant('updated_at'),
    ],
  },
  order_lines: {
    name: 'order_lines',
    key: ['order_id', 'line_number'],
    columns: [
      ...plain('product_id', 'sku', 'quantity', 'unit_price', 'discount'),
      { name: 'line_total', type: 'plain', generated: true },
      json('options'),
    ],
  },
  order_events: {
    name: 'order_events',
    key: ['order_id', 'id'],
    columns: [...plain('kind', 'actor'), json('data'), instant('occurred_at')],
  },
}

export const allTables: readonly Table[] = Object.values(tables)

/** The position of a column among the compared ones. */
export function columnIndex(table: Table, name: string): number {
  const index = table.columns.findIndex((column) => column.name === name)
  if (index < 0) throw new Error(`${table.name} has no compared column ${name}`)
  return index
}

/** Takes the compared columns from a row as the API answers it. */
export function cellsFromWire(table: Table, row: Readonly<Record<string, unknown>>): Cell[] {
  return table.columns.map(({ name, type }) => {
    const value = row[name]
    if (value === null) return null
    if (type === 'json') return jsonbText(value)
    // A column that the answer lacks must not pass for a null.
    return value === undefined ? 'missing in the answer' : String(value)
  })
}
