import type { Entity } from '../ledger/document.ts'
import type { TenantLedger } from '../ledger/ledger.ts'
import type { Random } from '../seed/random.ts'
import { hasOrders } from '../seed/seed-plan.ts'

/**
 * What a customer or product is for. Orders refer to the ones to keep, so those are never deleted; the others are
 * never ordered, so they can be.
 */
export type Purpose = 'keep' | 'spare'

const ATTEMPTS = 8
const REMEMBERED_DELETIONS = 50

/**
 * The entities that belong to one virtual client: those that it created, and its share of the loaded ones. Nobody
 * else writes them, so their content is known from this client's acknowledgements alone.
 */
export class Holdings {
  readonly #ledger: TenantLedger
  readonly #random: Random
  readonly #client: number
  readonly #clients: number
  readonly #created = {
    customers: { keep: new Set<string>(), spare: new Set<string>() },
    products: { keep: new Set<string>(), spare: new Set<string>() },
    orders: { keep: new Set<string>(), spare: new Set<string>() },
  }
  readonly #ordersOf = new Map<string, Set<string>>()
  readonly #deleted: { readonly entity: Entity; readonly id: string }[] = []

  /**
   * @param client this client's number among the tenant's `clients`: the loaded rows are dealt out by their index.
   */
  constructor(ledger: TenantLedger, random: Random, client: number, clients: number) {
    this.#ledger = ledger
    this.#random = random
    this.#client = client
    this.#clients = clients
  }

  add(entity: Entity, purpose: Purpose, id: string): void {
    this.#created[entity][purpose].add(id)
  }

  remove(entity: Entity, id: string): void {
    this.#created[entity].keep.delete(id)
    this.#created[entity].spare.delete(id)
    this.#deleted.push({ entity, id })
    if (this.#deleted.length > REMEMBERED_DELETIONS) this.#deleted.shift()
  }

  addOrder(customerId: string, id: string): void {
    this.add('orders', 'keep', id)
    this.#ordersOf.set(customerId, this.ordersOf(customerId).add(id))
  }

  removeOrder(customerId: string, id: string): void {
    this.remove('orders', id)
    this.#ordersOf.get(customerId)?.delete(id)
  }

  /** The acknowledged orders of a customer that this client created: all there are. */
  ordersOf(customerId: string): Set<string> {
    return this.#ordersOf.get(customerId) ?? new Set()
  }

  hasCreated(entity: Entity, id: string): boolean {
    return this.#created[entity].keep.has(id) || this.#created[entity].spare.has(id)
  }

  /** Something that this client deleted and whose absence is known. */
  pickDeleted(): { readonly entity: Entity; readonly id: string } | undefined {
    const candidates = this.#deleted.filter(({ entity, id }) => !this.#ledger.isUncertain(entity, id))
    return candidates.length === 0 ? undefined : this.#random.pick(candidates)
  }

  /** A created or loaded entity whose state is known and which exists. */
  pick(entity: Entity, purpose: Purpose, suits: (id: string) => boolean = () => true): string | undefined {
    return this.#random.chance(0.5)
      ? (this.pickCreated(entity, purpose, suits) ?? this.#pickLoaded(entity, purpose, suits))
      : (this.#pickLoaded(entity, purpose, suits) ?? this.pickCreated(entity, purpose, suits))
  }

  pickCreated(
    entity: Entity,
    purpose: Purpose,
    suits: (id: string) => boolean = () => true,
  ): string | undefined {
    const ids = [...this.#created[entity][purpose]]
    if (ids.length === 0) return undefined
    return this.#firstUsable(entity, suits, () => this.#random.pick(ids))
  }

  #pickLoaded(entity: Entity, purpose: Purpose, suits: (id: string) => boolean): string | undefined {
    const count = this.#ledger.seeded.counts[entity]
    const share = Math.ceil((count - this.#client) / this.#clients)
    if (share <= 0) return undefined
    return this.#firstUsable(entity, suits, () => {
      const index = this.#client + this.#clients * this.#random.below(share)
      if (entity !== 'orders' && hasOrders(index) !== (purpose === 'keep')) return undefined
      return this.#ledger.seeded.id(entity, index)
    })
  }

  #firstUsable(
    entity: Entity,
    suits: (id: string) => boolean,
    draw: () => string | undefined,
  ): string | undefined {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const id = draw()
      if (id === undefined || this.#ledger.isUncertain(entity, id)) continue
      if (this.#ledger.state(entity, id) !== null && suits(id)) return id
    }
    return undefined
  }
}
