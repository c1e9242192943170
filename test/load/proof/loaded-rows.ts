import type { Cell } from '../ledger/cell.ts'
import type { TableName } from '../ledger/tables.ts'
import type { SeededRows } from '../seed/seeded-rows.ts'

/** How a stored row compares with what the tenant was loaded with. */
export type LoadedRowResult = 'same' | 'different' | 'repeated' | 'never loaded'

/** Ticks off the loaded rows that nobody has written since. */
export class LoadedRows {
  readonly #seeded: SeededRows
  readonly #seen: Readonly<Record<TableName, Uint8Array>>

  constructor(seeded: SeededRows) {
    const { customers, products, orders, lines, events } = seeded.counts
    this.#seeded = seeded
    this.#seen = {
      customers: new Uint8Array(customers),
      products: new Uint8Array(products),
      orders: new Uint8Array(orders),
      order_lines: new Uint8Array(lines),
      order_events: new Uint8Array(events),
    }
  }

  /** @param index of the entity to which the row belongs. @param part of its key: line number or event id. */
  tick(table: TableName, index: number, part: string, cells: readonly Cell[]): LoadedRowResult {
    const position = this.#position(table, index, part)
    if (position === undefined) return 'never loaded'
    const seen = this.#seen[table]
    if (seen[position] === 1) return 'repeated'
    seen[position] = 1
    const loaded = this.#loaded(table, index, part)
    return cells.every((cell, at) => cell === loaded[at]) ? 'same' : 'different'
  }

  /** The positions of a table's rows that were not ticked off, with the index of the entity that each belongs to. */
  *missing(table: TableName): Generator<{ readonly entityIndex: number; readonly part: string }> {
    for (const [position, seen] of this.#seen[table].entries()) {
      if (seen === 1) continue
      const { orders } = this.#seeded.counts
      if (table === 'order_lines') {
        yield { entityIndex: position % orders, part: String(Math.floor(position / orders) + 1) }
      } else yield { entityIndex: position, part: '' }
    }
  }

  #position(table: TableName, index: number, part: string): number | undefined {
    if (table === 'order_events') return this.#seeded.id('order_events', index) === part ? index : undefined
    if (table !== 'order_lines') return index
    const number = Number(part)
    const position = (number - 1) * this.#seeded.counts.orders + index
    return number >= 1 && position < this.#seeded.counts.lines ? position : undefined
  }

  #loaded(table: TableName, index: number, part: string): readonly Cell[] {
    switch (table) {
      case 'customers':
        return this.#seeded.customer(index)
      case 'products':
        return this.#seeded.product(index)
      case 'orders':
        return this.#seeded.order(index)
      case 'order_lines':
        return this.#seeded.line(index, Number(part))
      case 'order_events':
        return this.#seeded.event(index)
    }
  }
}
