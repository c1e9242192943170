import { randomUUID } from 'node:crypto'
import { ANY, since } from '../ledger/cell.ts'
import { single } from '../ledger/document.ts'
import { cellOf, changeRow, makeRow } from '../ledger/row.ts'
import type { Random } from '../seed/random.ts'
import * as text from '../seed/text.ts'
import type { Action } from './action.ts'
import { deleteSpare } from './delete-spare.ts'
import { cellsOf, someOf } from './fields.ts'

export const readProduct: Action = {
  kind: 'read product',
  weight: 8,
  async run({ session, holdings, random }) {
    const id = holdings.pick('products', random.chance(0.8) ? 'keep' : 'spare')
    if (id === undefined) return false
    await session.readOne(this.kind, 'products', id)
    return true
  },
}

export const pageProducts: Action = {
  kind: 'page products',
  weight: 4,
  async run({ session, holdings }) {
    const items = await session.readList(this.kind, '/products?limit=20')
    for (const item of items ?? []) {
      const id = String(item.id)
      // The others' rows may change under way; whose they are never does.
      session.checkMarker(this.kind, item.sku)
      if (holdings.hasCreated('products', id) && !session.ledger.isUncertain('products', id)) {
        session.checkRow(this.kind, 'products', item)
      }
    }
    return true
  },
}

export const createProduct: Action = {
  kind: 'create product',
  weight: 4,
  async run({ session, holdings, random }) {
    const id = randomUUID()
    const fields = { ...productFields(random), currency: random.pick(['EUR', 'EUR', 'EUR', 'USD']) }
    const sku = `${session.ledger.marker}-${id}`
    const row = makeRow('products', { sku, ...cellsOf(fields), created_at: ANY, updated_at: ANY })
    const acknowledged = await session.write({
      kind: this.kind,
      requestClass: 'write',
      method: 'POST',
      path: '/products',
      body: { id, sku, ...fields },
      effects: [{ entity: 'products', id, after: single(row) }],
    })
    if (acknowledged) holdings.add('products', random.chance(0.6) ? 'keep' : 'spare', id)
    return true
  },
}

export const updateProduct: Action = {
  kind: 'update product',
  weight: 8,
  async run({ session, holdings, random }) {
    const id = holdings.pick('products', random.chance(0.8) ? 'keep' : 'spare')
    const state = id === undefined ? null : session.ledger.state('products', id)
    if (id === undefined || state === null) return false
    const fields = someOf(random, productFields(random))
    const stamp = since(cellOf('products', state.row, 'updated_at'))
    const row = changeRow('products', state.row, { ...cellsOf(fields), updated_at: stamp })
    await session.write({
      kind: this.kind,
      requestClass: 'write',
      method: 'PATCH',
      path: `/products/${id}`,
      body: fields,
      effects: [{ entity: 'products', id, after: single(row) }],
    })
    return true
  },
}

export const deleteProduct: Action = {
  kind: 'delete product',
  weight: 2,
  run: (actor) => deleteSpare(actor, 'products', 'delete product'),
}

const productFields = (random: Random) => ({
  name: text.productName(random),
  description: description(random),
  price: text.fixed(50 + random.below(1_000_000), 2),
  stock: 1_000 + random.below(100_000),
  weight_kg: random.chance(0.3) ? null : random.below(100_000) / 1000,
  attributes: random.chance(0.2)
    ? {}
    : { color: random.pick(['red', 'bleu', '緑']), sizes: [1, 2.5, random.below(50)] },
  tags: text.labels(random),
  image_digest: random.chance(0.5) ? null : text.hexDigest(random),
})

/** Now and then long enough to be stored out of line. */
function description(random: Random): string | null {
  if (random.chance(0.2)) return null
  return random.chance(0.03) ? text.denseText(random, 9000) : text.sentence(random)
}
