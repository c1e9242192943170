import { randomUUID } from 'node:crypto'
import { ANY, type Expected, since } from '../ledger/cell.ts'
import type { Document } from '../ledger/document.ts'
import { single } from '../ledger/document.ts'
import { jsonbText } from '../ledger/jsonb-text.ts'
import type { Effect } from '../ledger/ledger.ts'
import { cellOf, changeRow, makeRow, textOf } from '../ledger/row.ts'
import type { Random } from '../seed/random.ts'
import * as text from '../seed/text.ts'
import type { Action, Actor } from './action.ts'

/** Places an order of one to four products: stock, order, lines and timeline in one transaction. */
export const placeOrder: Action = {
  kind: 'place order',
  weight: 14,
  async run(actor) {
    const { session, holdings, random } = actor
    const customer = holdings.pick('customers', 'keep')
    const items = pickItems(actor)
    const currency = items[0]?.currency
    if (customer === undefined || currency === undefined) return false
    const id = randomUUID()
    const request = {
      id,
      customer_id: customer,
      currency,
      reference: `${session.ledger.marker}-${id}`,
      note: random.chance(0.7) ? null : text.sentence(random),
      shipping: random.chance(0.5) ? null : { carrier: 'vélo', days: 1 + random.below(9) },
      actor: actorName(actor),
      lines: items.map(({ product_id, quantity, discount, options }) => ({
        product_id,
        quantity,
        discount: text.fixed(discount, 4),
        options,
      })),
    }
    const acknowledged = await session.write({
      kind: this.kind,
      requestClass: 'transaction',
      method: 'POST',
      path: '/orders',
      body: request,
      effects: [
        { entity: 'orders', id, after: placedOrder(request, items) },
        ...items.map((item) => stockEffect(actor, item.product_id, -item.quantity)),
      ],
    })
    if (acknowledged) holdings.addOrder(customer, id)
    return true
  },
}

/** Pays, ships or cancels an order; a cancelled order's pieces go back into stock. */
export const changeStatus: Action = {
  kind: 'change status',
  weight: 10,
  async run(actor) {
    const { session, holdings, random } = actor
    const { ledger } = session
    const id = holdings.pick('orders', 'keep', (id) => nextStatus(statusOf(actor, id)) !== undefined)
    const order = id === undefined ? null : ledger.state('orders', id)
    if (id === undefined || order === null) return false
    const from = statusOf(actor, id)
    const pieces = piecesOf(order)
    // A loaded order's products are other clients', and what is in doubt is left alone.
    const cancellable =
      holdings.hasCreated('orders', id) &&
      [...pieces.keys()].every((product) => !ledger.isUncertain('products', product))
    const status = cancellable && random.chance(0.35) ? 'cancelled' : nextStatus(from)
    if (status === undefined) return false
    const actorOfEvent = actorName(actor)
    const returned = status === 'cancelled' ? [...pieces] : []
    await session.write({
      kind: this.kind,
      requestClass: 'transaction',
      method: 'PATCH',
      path: `/orders/${id}`,
      body: { status, actor: actorOfEvent },
      effects: [
        { entity: 'orders', id, after: withStatus(order, from, status, actorOfEvent) },
        ...returned.map(([product, quantity]) => stockEffect(actor, product, quantity)),
      ],
    })
    return true
  },
}

/** Deletes a cancelled order with its lines and its timeline. */
export const deleteOrder: Action = {
  kind: 'delete order',
  weight: 4,
  async run(actor) {
    const { session, holdings } = actor
    const id = holdings.pick('orders', 'keep', (id) => statusOf(actor, id) === 'cancelled')
    const order = id === undefined ? null : session.ledger.state('orders', id)
    if (id === undefined || order === null) return false
    const acknowledged = await session.write({
      kind: this.kind,
      requestClass: 'transaction',
      method: 'DELETE',
      path: `/orders/${id}`,
      effects: [{ entity: 'orders', id, after: null }],
    })
    if (acknowledged) holdings.removeOrder(textOf('orders', order.row, 'customer_id'), id)
    return true
  },
}

interface Item {
  readonly product_id: string
  readonly sku: string
  readonly currency: string
  readonly unitPrice: string
  readonly quantity: number
  /** In ten-thousandths. */
  readonly discount: number
  readonly options: Record<string, unknown> | null
}

/** Chooses products of one currency, each once, of which enough is in stock. */
function pickItems(actor: Actor): Item[] {
  const { holdings, session, random } = actor
  const items = new Map<string, Item>()
  const wanted = 1 + random.below(4)
  for (let at = 0; at < wanted; at++) {
    const id = holdings.pick('products', 'keep')
    const product = id === undefined ? null : session.ledger.state('products', id)
    if (id === undefined || product === null) continue
    const item = makeItem(random, id, product)
    const currency = items.values().next().value?.currency ?? item.currency
    if (item.currency === currency && stockOf(product) >= item.quantity) items.set(id, item)
  }
  return [...items.values()]
}

function makeItem(random: Random, id: string, product: Document): Item {
  return {
    product_id: id,
    sku: textOf('products', product.row, 'sku'),
    currency: textOf('products', product.row, 'currency'),
    unitPrice: textOf('products', product.row, 'price'),
    quantity: 1 + random.below(5),
    discount: random.chance(0.7) ? 0 : random.below(5000),
    options: random.chance(0.7) ? null : { engraving: text.personName(random) },
  }
}

interface OrderRequest {
  readonly customer_id: string
  readonly currency: string
  readonly reference: string
  readonly note: string | null
  readonly shipping: Record<string, unknown> | null
  readonly actor: string
}

/** The order as the database should make it, number, ids of events and stamps apart. */
function placedOrder(request: OrderRequest, items: readonly Item[]): Document {
  const row = makeRow('orders', {
    number: ANY,
    customer_id: request.customer_id,
    status: 'placed',
    currency: request.currency,
    total: text.fixed(
      items.reduce((total, item) => total + totalCents(item), 0),
      2,
    ),
    reference: request.reference,
    note: request.note,
    shipping: request.shipping === null ? null : jsonbText(request.shipping),
    placed_at: ANY,
    updated_at: ANY,
  })
  const lines = items.map((item, index) => [String(index + 1), orderLine(item)] as const)
  return {
    row,
    lines: new Map(lines),
    events: [newEvent('placed', request.actor, { lines: items.length })],
  }
}

const orderLine = (item: Item): Expected[] =>
  makeRow('order_lines', {
    product_id: item.product_id,
    sku: item.sku,
    quantity: String(item.quantity),
    unit_price: item.unitPrice,
    discount: text.fixed(item.discount, 4),
    line_total: text.fixed(totalCents(item), 2),
    options: item.options === null ? null : jsonbText(item.options),
  })

const newEvent = (kind: string, actor: string, data: Record<string, unknown>) => ({
  id: undefined,
  cells: makeRow('order_events', { kind, actor, data: jsonbText(data), occurred_at: ANY }),
})

/** As the generated column computes it: rounded to cents, halves up. */
function totalCents({ quantity, unitPrice, discount }: Item): number {
  const cents = Number(unitPrice.replace('.', ''))
  return Math.floor((quantity * cents * (10_000 - discount) + 5000) / 10_000)
}

function withStatus(order: Document, from: string, status: string, actor: string): Document {
  const stamp = since(cellOf('orders', order.row, 'updated_at'))
  return {
    row: changeRow('orders', order.row, { status, updated_at: stamp }),
    lines: order.lines,
    events: [...order.events, newEvent(status, actor, { from })],
  }
}

function stockEffect({ session }: Actor, productId: string, change: number): Effect {
  const product = session.ledger.state('products', productId)
  if (product === null) throw new Error('an ordered product is never deleted')
  const stamp = since(cellOf('products', product.row, 'updated_at'))
  const stock = String(stockOf(product) + change)
  return {
    entity: 'products',
    id: productId,
    after: single(changeRow('products', product.row, { stock, updated_at: stamp })),
  }
}

/** How many pieces of each product an order took out of stock. */
function piecesOf(order: Document): Map<string, number> {
  const pieces = new Map<string, number>()
  for (const line of order.lines.values()) {
    const product = textOf('order_lines', line, 'product_id')
    pieces.set(product, (pieces.get(product) ?? 0) + Number(textOf('order_lines', line, 'quantity')))
  }
  return pieces
}

const stockOf = (product: Document): number => Number(textOf('products', product.row, 'stock'))

function statusOf({ session }: Actor, orderId: string): string {
  const order = session.ledger.state('orders', orderId)
  return order === null ? 'absent' : textOf('orders', order.row, 'status')
}

const nextStatus = (status: string): string | undefined => ({ placed: 'paid', paid: 'shipped' })[status]

const actorName = ({ session, random }: Actor): string => `clerk-${random.below(20)}@${session.ledger.marker}`
