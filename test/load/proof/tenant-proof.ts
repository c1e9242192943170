import type { Cell } from '../ledger/cell.ts'
import { compareDocuments, type Document, documentsMatch, type Entity, rowCount } from '../ledger/document.ts'
import type { TenantLedger, UncertainWrite } from '../ledger/ledger.ts'
import { allTables, columnIndex, type TableName, tables } from '../ledger/tables.ts'
import type { Findings } from './findings.ts'
import { LoadedRows } from './loaded-rows.ts'
import type { Finding } from './proof-report.ts'
import type { StoredRow } from './read-table.ts'
import { entityOf, StoredDocuments } from './stored-documents.ts'

const entities: readonly Entity[] = ['customers', 'products', 'orders']

/** Holds the rows of one tenant in its home against its ledger. */
export class TenantProof {
  readonly #ledger: TenantLedger
  readonly #database: string
  readonly #findings: Findings
  readonly #loaded: LoadedRows
  /** What has been written since the load, and what nobody knows of. */
  readonly #stored = new StoredDocuments()
  readonly #orderNumbers = new Set<Cell>()

  constructor(ledger: TenantLedger, database: string, findings: Findings) {
    this.#ledger = ledger
    this.#database = database
    this.#findings = findings
    this.#loaded = new LoadedRows(ledger.seeded)
  }

  /** Takes a row that carries the tenant's id. */
  take(table: TableName, row: StoredRow): void {
    const entity = entityOf[table]
    const [id = '', part = ''] = row.key
    if (table === 'orders') this.#takeOrderNumber(row)
    const index = this.#ledger.isTouched(entity, id) ? undefined : this.#ledger.seeded.indexOf(entity, id)
    if (index === undefined) {
      this.#stored.add(table, row)
      return
    }
    const result = this.#loaded.tick(table, index, part, row.cells)
    if (result === 'same') return
    if (!this.#isOwn(table, row.cells)) this.#add('foreign', table, row.key)
    else this.#add(result === 'different' ? 'wrong' : 'duplicated', table, row.key)
  }

  /** Judges, when all rows have been taken. */
  finish(): void {
    this.#findMissingLoadedRows()
    for (const entity of entities) {
      for (const id of this.#ledger.touchedIds(entity)) {
        if (!this.#ledger.isUncertain(entity, id)) this.#judge(entity, id)
      }
      for (const id of this.#stored.ids(entity)) {
        if (!this.#ledger.isTouched(entity, id)) this.#judgeUnknown(entity, id)
        this.#add('duplicated', entity, [id], this.#stored.repeated(entity, id))
      }
    }
    for (const write of this.#ledger.uncertainWrites) this.#resolve(write)
  }

  #findMissingLoadedRows(): void {
    for (const { name } of allTables) {
      const entity = entityOf[name]
      for (const { entityIndex, part } of this.#loaded.missing(name)) {
        const id = this.#ledger.seeded.id(entity, entityIndex)
        if (!this.#ledger.isTouched(entity, id)) this.#add('lost', name, [id, part])
      }
    }
  }

  #judge(entity: Entity, id: string): void {
    const expected = this.#ledger.state(entity, id)
    const actual = this.#stored.document(entity, id)
    if (documentsMatch(expected, actual)) return
    if (actual !== null && actual.row.length > 0 && !this.#isOwn(entity, actual.row)) {
      this.#add('foreign', entity, [id])
    } else if (actual === null || expected === null || this.#isEarlier(entity, id, actual)) {
      // Missing, back after its deletion, or without its last change.
      this.#add('lost', entity, [id])
    } else {
      const { missing, surplus, different } = compareDocuments(expected, actual)
      this.#add('lost', entity, [id], missing)
      this.#add('duplicated', entity, [id], surplus)
      this.#add('wrong', entity, [id], different)
    }
  }

  #isEarlier(entity: Entity, id: string, actual: Document<Cell>): boolean {
    return this.#ledger.earlierStates(entity, id).some((state) => documentsMatch(state, actual))
  }

  /** Nobody wrote it: another tenant's, or something that was written once too often. */
  #judgeUnknown(entity: Entity, id: string): void {
    const actual = this.#stored.document(entity, id)
    if (actual === null) return
    const own = actual.row.length === 0 || this.#isOwn(entity, actual.row)
    this.#add(own ? 'duplicated' : 'foreign', entity, [id], rowCount(actual))
  }

  /** A write of unknown outcome took effect as a whole or not at all. */
  #resolve({ effects }: UncertainWrite): void {
    const actual = effects.map(({ entity, id }) => this.#stored.document(entity, id))
    if (effects.every(({ before }, at) => documentsMatch(before, actual[at] ?? null))) {
      this.#findings.uncertain.notApplied++
    } else if (effects.every(({ after }, at) => documentsMatch(after, actual[at] ?? null))) {
      this.#findings.uncertain.applied++
    } else {
      const [first] = effects
      if (first !== undefined) this.#add('wrong', first.entity, [first.id])
    }
  }

  /** Numbers come from a sequence: two alike mean that a database went on with numbers that were taken. */
  #takeOrderNumber({ key, cells }: StoredRow): void {
    const number = cells[columnIndex(tables.orders, 'number')] ?? null
    if (this.#orderNumbers.has(number)) this.#add('duplicated', 'orders', key)
    this.#orderNumbers.add(number)
  }

  #isOwn(table: TableName, cells: readonly Cell[]): boolean {
    return cells[markerColumn[table]]?.includes(this.#ledger.marker) === true
  }

  #add(finding: Finding, table: TableName, key: readonly string[], count = 1): void {
    const sample = {
      finding,
      database: this.#database,
      tenantId: this.#ledger.id,
      table,
      key: key.join(' ').trim(),
    }
    this.#findings.add(sample, count)
  }
}

/** The column of each table in which the tenant's marker stands. */
const markerColumn: Readonly<Record<TableName, number>> = {
  customers: columnIndex(tables.customers, 'email'),
  products: columnIndex(tables.products, 'sku'),
  orders: columnIndex(tables.orders, 'reference'),
  order_lines: columnIndex(tables.order_lines, 'sku'),
  order_events: columnIndex(tables.order_events, 'actor'),
}
