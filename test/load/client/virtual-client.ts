import type { Action, Actor } from './action.ts'
import { createCustomer, deleteCustomer, readCustomer, updateCustomer } from './customer-actions.ts'
import { listOrders, readDeleted, readOrder, salesReport } from './order-reads.ts'
import { changeStatus, deleteOrder, placeOrder } from './order-writes.ts'
import { createProduct, deleteProduct, pageProducts, readProduct, updateProduct } from './product-actions.ts'

const reads: readonly Action[] = [
  readCustomer,
  readProduct,
  readOrder,
  listOrders,
  pageProducts,
  readDeleted,
  salesReport,
]

const writes: readonly Action[] = [
  createCustomer,
  updateCustomer,
  deleteCustomer,
  createProduct,
  updateProduct,
  deleteProduct,
  placeOrder,
  changeStatus,
  deleteOrder,
]

/** Does one thing after the other, as a user of the product would: never two at once. */
export class VirtualClient {
  readonly #actor: Actor
  readonly #writeShare: number

  /** @param writeShare the share of requests that write, from 0 to 1. */
  constructor(actor: Actor, writeShare: number) {
    this.#actor = actor
    this.#writeShare = writeShare
  }

  /** Sends one request and checks its answer. */
  async step(): Promise<void> {
    const writing = this.#actor.random.chance(this.#writeShare)
    const done = await this.#choose(writing ? writes : reads).run(this.#actor)
    // With nothing to do it with yet, the client makes something, or looks at what there is.
    if (!done) await (writing ? this.#create() : pageProducts).run(this.#actor)
  }

  #create(): Action {
    return this.#actor.random.chance(0.5) ? createCustomer : createProduct
  }

  #choose(actions: readonly Action[]): Action {
    let ticket = this.#actor.random.share() * actions.reduce((total, { weight }) => total + weight, 0)
    for (const action of actions) {
      ticket -= action.weight
      if (ticket < 0) return action
    }
    return pageProducts
  }
}
