import { type Cell, cellMatches, type Expected } from './cell.ts'
import { cellsFromWire, tables } from './tables.ts'

/** What a client reads and writes as a whole. An order comes with its lines and its timeline. */
export type Entity = 'customers' | 'products' | 'orders'

/** The content of an entity; of its values some may not have been seen yet. */
export interface Document<C extends Expected = Expected> {
  readonly row: readonly C[]
  /** By line number, of orders. */
  readonly lines: ReadonlyMap<string, readonly C[]>
  readonly events: readonly OrderEvent<C>[]
}

interface OrderEvent<C extends Expected = Expected> {
  /** Chosen by the database; undefined when the client has not seen it yet. */
  readonly id: string | undefined
  readonly cells: readonly C[]
}

const none: ReadonlyMap<string, never> = new Map<string, never>()

/** A document that is one row. */
export const single = <C extends Expected>(row: readonly C[]): Document<C> => ({
  row,
  lines: none,
  events: [],
})

type WireRow = Readonly<Record<string, unknown>>

/** The document that the API answered. */
export function documentFromWire(entity: Entity, wire: WireRow): Document<Cell> {
  const row = cellsFromWire(tables[entity], wire)
  if (entity !== 'orders') return single(row)
  const lines = (wire.lines as WireRow[]).map(
    (line) => [String(line.line_number), cellsFromWire(tables.order_lines, line)] as const,
  )
  const events = (wire.events as WireRow[]).map((event) => ({
    id: String(event.id),
    cells: cellsFromWire(tables.order_events, event),
  }))
  return { row, lines: new Map(lines), events }
}

/** How an actual document deviates from the expected one. */
export interface Difference {
  readonly missing: number
  readonly surplus: number
  readonly different: number
}

const noDifference: Difference = { missing: 0, surplus: 0, different: 0 }

/** Compares row by row; null is absence. */
export function compareDocuments(expected: Document | null, actual: Document<Cell> | null): Difference {
  if (expected === null) return { ...noDifference, surplus: actual === null ? 0 : rowCount(actual) }
  if (actual === null) return { ...noDifference, missing: rowCount(expected) }
  const parts = [
    { ...noDifference, different: rowMatches(expected.row, actual.row) ? 0 : 1 },
    compareLines(expected, actual),
    compareEvents(expected, actual),
  ]
  return {
    missing: sum(parts, (part) => part.missing),
    surplus: sum(parts, (part) => part.surplus),
    different: sum(parts, (part) => part.different),
  }
}

const isSame = ({ missing, surplus, different }: Difference): boolean => missing + surplus + different === 0

export const documentsMatch = (expected: Document | null, actual: Document<Cell> | null): boolean =>
  isSame(compareDocuments(expected, actual))

export const rowCount = (document: Document): number => 1 + document.lines.size + document.events.length

export const rowMatches = (expected: readonly Expected[], actual: readonly Cell[]): boolean =>
  expected.length === actual.length &&
  expected.every((cell, index) => cellMatches(cell, actual[index] ?? null))

function compareLines(expected: Document, actual: Document<Cell>): Difference {
  let missing = 0
  let different = 0
  for (const [number, cells] of expected.lines) {
    const found = actual.lines.get(number)
    if (found === undefined) missing++
    else if (!rowMatches(cells, found)) different++
  }
  return { missing, different, surplus: actual.lines.size - (expected.lines.size - missing) }
}

function compareEvents(expected: Document, actual: Document<Cell>): Difference {
  let missing = 0
  let different = 0
  const left = [...actual.events]
  // Those with a known id first, so that one that is not known yet cannot take their place.
  for (const event of [...expected.events].sort(
    (a, b) => Number(a.id === undefined) - Number(b.id === undefined),
  )) {
    const at = left.findIndex((candidate) =>
      event.id === undefined ? rowMatches(event.cells, candidate.cells) : candidate.id === event.id,
    )
    const [found] = at < 0 ? [] : left.splice(at, 1)
    if (found === undefined) missing++
    else if (!rowMatches(event.cells, found.cells)) different++
  }
  return { missing, different, surplus: left.length }
}

const sum = <T>(items: readonly T[], value: (item: T) => number): number =>
  items.reduce((total, item) => total + value(item), 0)
