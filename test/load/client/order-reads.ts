import type { Action } from './action.ts'

export const readOrder: Action = {
  kind: 'read order',
  weight: 12,
  async run({ session, holdings }) {
    const id = holdings.pick('orders', 'keep')
    if (id === undefined) return false
    await session.readOne(this.kind, 'orders', id)
    return true
  },
}

const PAGE = 200

/** The orders of a customer whom nobody else knows: exactly those that this client placed, each as it left them. */
export const listOrders: Action = {
  kind: 'list orders of customer',
  weight: 5,
  async run({ session, holdings }) {
    const customer = holdings.pickCreated('customers', 'keep')
    if (customer === undefined) return false
    const items = await session.readList(this.kind, `/orders?customer_id=${customer}&limit=${PAGE}`)
    if (items === undefined) return true
    const { ledger } = session
    const seen = new Set(items.map((item) => String(item.id)))
    for (const item of items) {
      session.checkMarker(this.kind, item.reference)
      if (!ledger.isUncertain('orders', String(item.id))) session.checkOrderRow(this.kind, item)
    }
    for (const id of holdings.ordersOf(customer)) {
      if (items.length < PAGE && !seen.has(id) && !ledger.isUncertain('orders', id)) {
        session.mismatch(`${this.kind}: orders ${id} is missing`)
      }
    }
    return true
  },
}

export const salesReport: Action = {
  kind: 'sales report',
  weight: 1,
  async run({ session }) {
    const items = await session.readList(this.kind, '/reports/sales?days=7')
    for (const item of items ?? []) session.checkMarker(this.kind, item.sku)
    return true
  },
}

/** What was deleted stays deleted. */
export const readDeleted: Action = {
  kind: 'read deleted',
  weight: 3,
  async run({ session, holdings }) {
    const deleted = holdings.pickDeleted()
    if (deleted === undefined) return false
    await session.readOne(this.kind, deleted.entity, deleted.id)
    return true
  },
}
