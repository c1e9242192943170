import type { SeedPlan } from '../seed/seed-plan.ts'
import { SeededRows } from '../seed/seeded-rows.ts'
import type { Cell } from './cell.ts'
import type { Document, Entity } from './document.ts'

/** What one request does to one entity; null is absence. */
export interface Effect {
  readonly entity: Entity
  readonly id: string
  readonly after: Document | null
}

/** A write of which the client never learned whether it took effect: it did as a whole, or not at all. */
export interface UncertainWrite {
  readonly effects: readonly (Effect & { readonly before: Document | null })[]
}

export interface TenantPlan {
  readonly id: string
  readonly seed: SeedPlan
}

/** The states that acknowledged writes gave to one entity, newest last. */
interface History {
  readonly states: (Document | null)[]
  uncertain: boolean
}

/**
 * What a tenant's clients know of its rows: what it was loaded with, every acknowledged write, and every write
 * whose outcome is unknown.
 */
export class TenantLedger {
  readonly id: string
  readonly seeded: SeededRows
  readonly uncertainWrites: UncertainWrite[] = []
  readonly #touched: Readonly<Record<Entity, Map<string, History>>> = {
    customers: new Map(),
    products: new Map(),
    orders: new Map(),
  }

  constructor(plan: TenantPlan) {
    this.id = plan.id
    this.seeded = new SeededRows(plan.id, plan.seed)
  }

  get marker(): string {
    return this.seeded.marker
  }

  /** The state that the last acknowledged write left; null when the entity must not exist. */
  state(entity: Entity, id: string): Document | null {
    const history = this.#touched[entity].get(id)
    return history === undefined ? this.#loaded(entity, id) : (history.states.at(-1) ?? null)
  }

  /** The states before the last one, newest first, the loaded one included. */
  earlierStates(entity: Entity, id: string): readonly (Document | null)[] {
    return this.#touched[entity].get(id)?.states.slice(0, -1).reverse() ?? []
  }

  /** Whether a write with an unknown outcome stands in the way of knowing the entity's state. */
  isUncertain(entity: Entity, id: string): boolean {
    return this.#touched[entity].get(id)?.uncertain === true
  }

  /** Whether the entity is still as it was loaded, for all the clients know. */
  isTouched(entity: Entity, id: string): boolean {
    return this.#touched[entity].has(id)
  }

  touchedIds(entity: Entity): IterableIterator<string> {
    return this.#touched[entity].keys()
  }

  /** Notes an acknowledged write. */
  acknowledge(effects: readonly Effect[]): void {
    for (const { entity, id, after } of effects) this.#history(entity, id).states.push(after)
  }

  /** Replaces what was expected by what was seen, after a read has agreed with it. */
  learn(entity: Entity, id: string, seen: Document<Cell>): void {
    const history = this.#touched[entity].get(id)
    if (history !== undefined && history.states.length > 0) history.states[history.states.length - 1] = seen
  }

  /** Notes a write whose outcome is unknown. Its entities are not to be written again before it is resolved. */
  doubt(effects: readonly Effect[]): void {
    this.uncertainWrites.push({
      effects: effects.map((effect) => ({ ...effect, before: this.state(effect.entity, effect.id) })),
    })
    for (const { entity, id } of effects) this.#history(entity, id).uncertain = true
  }

  #history(entity: Entity, id: string): History {
    const known = this.#touched[entity].get(id)
    if (known !== undefined) return known
    const created: History = { states: [this.#loaded(entity, id)], uncertain: false }
    this.#touched[entity].set(id, created)
    return created
  }

  #loaded(entity: Entity, id: string): Document | null {
    const index = this.seeded.indexOf(entity, id)
    return index === undefined ? null : this.seeded.document(entity, index)
  }
}

/** The ledgers of all tenants that take part. */
export class Ledger {
  readonly tenants: ReadonlyMap<string, TenantLedger>

  constructor(plans: readonly TenantPlan[]) {
    this.tenants = new Map(plans.map((plan) => [plan.id, new TenantLedger(plan)]))
  }

  tenant(id: string): TenantLedger {
    const found = this.tenants.get(id)
    if (found === undefined) throw new Error(`tenant ${id} is not in the ledger`)
    return found
  }
}
