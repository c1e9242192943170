import type { Cell } from '../ledger/cell.ts'
import { type Document, type Entity, single } from '../ledger/document.ts'
import { jsonbText } from '../ledger/jsonb-text.ts'
import { Random } from './random.ts'
import { type SeededKind, seededId, seededIndex } from './seed-id.ts'
import {
  countWithOrders,
  type SeedCounts,
  type SeedPlan,
  seedCounts,
  tenantMarker,
  withOrders,
} from './seed-plan.ts'
import * as text from './text.ts'

const stream: Readonly<Record<SeededKind | 'order_lines' | 'price', number>> = {
  customers: 1,
  products: 2,
  orders: 3,
  order_lines: 4,
  order_events: 5,
  price: 6,
}

/** The rows that a tenant is loaded with, each computed from its index alone. */
export class SeededRows {
  readonly counts: SeedCounts
  readonly marker: string
  readonly #seed: number

  constructor(tenantId: string, plan: SeedPlan) {
    this.counts = seedCounts(plan)
    this.marker = tenantMarker(tenantId)
    this.#seed = plan.seed
  }

  id(kind: SeededKind, index: number): string {
    return seededId(this.#seed, kind, index)
  }

  /** The index of a seeded row; undefined when the id is not one that was seeded. */
  indexOf(kind: SeededKind, id: string): number | undefined {
    const index = seededIndex(this.#seed, kind, id)
    const count = kind === 'order_events' ? this.counts.events : this.counts[kind]
    return index !== undefined && index < count ? index : undefined
  }

  /** An entity as it was loaded. */
  document(entity: Entity, index: number): Document<Cell> {
    if (entity === 'customers') return single(this.customer(index))
    if (entity === 'products') return single(this.product(index))
    const lines = this.lineNumbers(index).map((number) => [String(number), this.line(index, number)] as const)
    return {
      row: this.order(index),
      lines: new Map(lines),
      events: [{ id: this.id('order_events', index), cells: this.event(index) }],
    }
  }

  customer(index: number): Cell[] {
    const random = this.#random('customers', index)
    const created = text.instant(random)
    return [
      `c${index}@${this.marker}.example`,
      text.personName(random),
      random.chance(0.4) ? null : `+49 ${100_000 + random.below(900_000)}`,
      random.chance(0.5) ? null : text.dayOfBirth(random),
      random.chance(0.3) ? null : jsonbText(text.address(random)),
      jsonbText(text.labels(random)),
      random.chance(0.6) ? null : text.fixed(random.below(100_000_000), 4),
      String(random.chance(0.5)),
      created,
      text.later(random, created),
    ]
  }

  product(index: number): Cell[] {
    const random = this.#random('products', index)
    const created = text.instant(random)
    return [
      this.sku(index),
      text.productName(random),
      random.chance(0.2) ? null : this.#description(random, index),
      text.fixed(this.#cents(index), 2),
      'EUR',
      String(1_000_000 + random.below(1_000_000)),
      random.chance(0.3) ? null : String(random.below(100_000) / 1000),
      jsonbText(
        random.chance(0.2)
          ? {}
          : { color: random.pick(['red', 'bleu', '緑']), sizes: [1, 2.5, random.below(50)] },
      ),
      jsonbText(text.labels(random)),
      random.chance(0.5) ? null : text.hexDigest(random),
      created,
      text.later(random, created),
    ]
  }

  order(index: number): Cell[] {
    const random = this.#random('orders', index)
    const placed = text.instant(random)
    return [
      String(index + 1),
      this.id('customers', withOrders(random.below(countWithOrders(this.counts.customers)))),
      this.orderStatus(index),
      'EUR',
      text.fixed(
        this.lineNumbers(index).reduce((total, number) => total + this.#lineOf(index, number).totalCents, 0),
        2,
      ),
      `${this.marker}-${index}`,
      random.chance(0.7) ? null : text.sentence(random),
      random.chance(0.5)
        ? null
        : jsonbText({ carrier: random.pick(['dhl', 'ups', 'vélo']), days: 1 + random.below(9) }),
      placed,
      text.later(random, placed),
    ]
  }

  orderStatus(index: number): string {
    return ['placed', 'paid', 'shipped', 'shipped', 'shipped', 'cancelled'][index % 6] ?? 'placed'
  }

  /** The lines of all orders are dealt out like cards, so a line's order and number follow from its index. */
  lineNumbers(orderIndex: number): number[] {
    const { orders, lines } = this.counts
    return Array.from({ length: Math.ceil((lines - orderIndex) / orders) }, (_, at) => at + 1)
  }

  line(orderIndex: number, lineNumber: number): Cell[] {
    const line = this.#lineOf(orderIndex, lineNumber)
    const options = line.random.chance(0.8)
      ? null
      : jsonbText({ engraving: text.personName(line.random), gift: line.random.chance(0.5) })
    return [
      this.id('products', line.product),
      this.sku(line.product),
      String(line.quantity),
      text.fixed(line.cents, 2),
      text.fixed(line.discount, 4),
      text.fixed(line.totalCents, 2),
      options,
    ]
  }

  event(index: number): Cell[] {
    const random = this.#random('order_events', index)
    return [
      'placed',
      `import@${this.marker}`,
      random.chance(0.5) ? null : jsonbText({ source: 'import', batch: random.below(100) }),
      text.instant(random),
    ]
  }

  sku(productIndex: number): string {
    return `${this.marker}-${String(productIndex).padStart(6, '0')}`
  }

  /** What the order's total needs of a line, and the dice for the rest. */
  #lineOf(orderIndex: number, lineNumber: number) {
    const random = this.#random('order_lines', (lineNumber - 1) * this.counts.orders + orderIndex)
    const product = withOrders(random.below(countWithOrders(this.counts.products)))
    const quantity = 1 + random.below(12)
    const discount = random.chance(0.7) ? 0 : random.below(5000)
    const cents = this.#cents(product)
    // As the generated column computes it: rounded to cents, halves up.
    const totalCents = Math.floor((quantity * cents * (10_000 - discount) + 5000) / 10_000)
    return { product, quantity, discount, cents, totalCents, random }
  }

  #cents(productIndex: number): number {
    return 50 + this.#random('price', productIndex).below(1_000_000)
  }

  #description(random: Random, index: number): string {
    // Some are long enough to be stored out of line.
    return index % 250 === 0
      ? text.denseText(random, 9000)
      : `${text.sentence(random)} ${text.denseText(random, 60)}`
  }

  #random(kind: keyof typeof stream, index: number): Random {
    return new Random(this.#seed, stream[kind], index)
  }
}
