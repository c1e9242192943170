import { PAGE_ROWS, type System } from '../systems/system.ts'
import { FIRST_NEW_ID, itemName, pickRow, type Rows } from './rows.ts'

export const caseNames = ['point-read', 'page', 'insert', 'transaction'] as const

export type CaseName = (typeof caseNames)[number]

/** What one operation of a case writes, by which the tables are checked afterwards. */
export const writesOf: Readonly<Record<CaseName, { readonly inserted: number; readonly updated: number }>> = {
  'point-read': { inserted: 0, updated: 0 },
  page: { inserted: 0, updated: 0 },
  insert: { inserted: 1, updated: 0 },
  transaction: { inserted: 0, updated: 1 },
}

let nextId = FIRST_NEW_ID

/**
 * One operation of a case. Every answer is checked, so that nobody is fast by being wrong.
 *
 * @throws Error when a system answers with anything but the rows that were asked for.
 */
export function operation(name: CaseName, system: System, rows: Rows): () => Promise<void> {
  switch (name) {
    case 'point-read':
      return async () => {
        const { tenantId, id } = pickRow(rows)
        checkRow(await system.pointRead(tenantId, id), id)
      }
    case 'page':
      return async () => {
        const { tenantId, id } = pickRow(rows, PAGE_ROWS)
        const page = await system.page(tenantId, id)
        if (page.length !== PAGE_ROWS)
          throw new Error(`a page of ${page.length} rows instead of ${PAGE_ROWS}`)
        for (let index = 0; index < PAGE_ROWS; index++) checkRow(page[index], id + 1 + index)
      }
    case 'insert':
      return async () => {
        const { tenantId } = pickRow(rows)
        const id = nextId++
        const inserted = await system.insert(tenantId, { id, name: itemName(id), quantity: 0 })
        if (inserted !== 1) throw new Error(`${inserted} rows inserted instead of 1`)
      }
    case 'transaction':
      return async () => {
        const { tenantId, id } = pickRow(rows)
        checkRow(await system.readAndUpdate(tenantId, id), id)
      }
  }
}

function checkRow(row: { readonly id: number; readonly name: string } | undefined, id: number): void {
  if (row?.id !== id || row.name !== itemName(id))
    throw new Error(`asked for row ${id}, got ${JSON.stringify(row)}`)
}
