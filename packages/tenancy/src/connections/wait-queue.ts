import type { TenantId } from '@freehold/contract'
import type { PooledConnection } from './pooled-connection.ts'

/** Somebody who waits for a connection. */
export interface Waiter {
  readonly tenantId: TenantId
  readonly affinity: string | undefined
  /** By `performance.now()`. */
  readonly since: number
  readonly resolve: (connection: PooledConnection) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

/**
 * Those who wait for a connection to one database, first come first served, but for tenants that have as many
 * connections as they may. A queue a tenant: however many requests of one tenant wait, its neighbours are found
 * without going through them.
 */
export class WaitQueue {
  /** None of them is empty. A Set keeps the order of arrival, and lets go of one in the middle at once. */
  readonly #byTenant = new Map<TenantId, Set<Waiter>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add(waiter: Waiter): void {
    const queue = this.#byTenant.get(waiter.tenantId)
    if (queue) queue.add(waiter)
    else this.#byTenant.set(waiter.tenantId, new Set([waiter]))
    this.#size++
  }

  remove(waiter: Waiter): void {
    const queue = this.#byTenant.get(waiter.tenantId)
    if (!queue?.delete(waiter)) return
    this.#size--
    if (queue.size === 0) this.#byTenant.delete(waiter.tenantId)
  }

  /**
   * Whoever has waited longest among the tenants that may have one more connection.
   *
   * @param room how many more connections a tenant may have.
   */
  first(room: (tenantId: TenantId) => number): Waiter | undefined {
    let first: Waiter | undefined
    for (const [tenantId, queue] of this.#byTenant) {
      const [head] = queue
      if (head && (!first || head.since < first.since) && room(tenantId) > 0) first = head
    }
    return first
  }

  /** How many connections could be put to use at once; counts no further than `enough`. */
  demand(room: (tenantId: TenantId) => number, enough: number): number {
    let demand = 0
    for (const [tenantId, queue] of this.#byTenant) {
      if (demand >= enough) break
      demand += Math.min(queue.size, Math.max(0, room(tenantId)))
    }
    return Math.min(demand, enough)
  }
}
