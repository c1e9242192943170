import type { Cell } from '../ledger/cell.ts'
import type { Document, Entity } from '../ledger/document.ts'
import type { TableName } from '../ledger/tables.ts'
import type { StoredRow } from './read-table.ts'

/** The entity to which a table's rows belong. */
export const entityOf: Readonly<Record<TableName, Entity>> = {
  customers: 'customers',
  products: 'products',
  orders: 'orders',
  order_lines: 'orders',
  order_events: 'orders',
}

interface Parts {
  row: readonly Cell[] | undefined
  readonly lines: Map<string, readonly Cell[]>
  readonly events: { id: string; cells: readonly Cell[] }[]
  /** Rows beyond the first under one key: a database without its primary key could hold them. */
  repeated: number
}

/** Puts the rows of a tenant's entities together again. */
export class StoredDocuments {
  readonly #parts: Readonly<Record<Entity, Map<string, Parts>>> = {
    customers: new Map(),
    products: new Map(),
    orders: new Map(),
  }

  add(table: TableName, { key: [id = '', part = ''], cells }: StoredRow): void {
    const parts = this.#partsOf(entityOf[table], id)
    if (table === 'order_lines') {
      if (parts.lines.has(part)) parts.repeated++
      parts.lines.set(part, cells)
    } else if (table === 'order_events') {
      parts.events.push({ id: part, cells })
    } else {
      if (parts.row !== undefined) parts.repeated++
      parts.row = cells
    }
  }

  ids(entity: Entity): IterableIterator<string> {
    return this.#parts[entity].keys()
  }

  /** The entity as stored; null when not a single row of it is there. */
  document(entity: Entity, id: string): Document<Cell> | null {
    const parts = this.#parts[entity].get(id)
    // Lines without their order have a row that matches nothing.
    return parts === undefined ? null : { row: parts.row ?? [], lines: parts.lines, events: parts.events }
  }

  repeated(entity: Entity, id: string): number {
    return this.#parts[entity].get(id)?.repeated ?? 0
  }

  #partsOf(entity: Entity, id: string): Parts {
    const known = this.#parts[entity].get(id)
    if (known !== undefined) return known
    const created: Parts = { row: undefined, lines: new Map(), events: [], repeated: 0 }
    this.#parts[entity].set(id, created)
    return created
  }
}
