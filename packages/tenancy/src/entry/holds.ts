import type { TenantId } from '@freehold/contract'
import type { PlacementChange } from '../placement/placement-source.ts'

const FIRST_DELAY_MS = 1
const MAX_DELAY_MS = 20
/** Whoever will be told asks only in case that is missed: asking takes the processor from the switch that is waited for. */
const TOLD_DELAY_MS = 40

/** What came of asking whether a held tenant may write again. `open`: it may, or its requests can find out why not. */
export type ProbeAnswer = 'open' | 'held'

/**
 * Requests that wait for their tenant's cutover, in memory and holding no connection. One probe a tenant, not one a
 * request, asks the data database whether writers may enter again: first after 1 ms (40 ms when the switch was announced), then
 * after 2, 4, up to 20 ms, and at once when the tenant's placement is announced to have changed. None asks when the tenant is
 * announced to be let in.
 */
export class Holds {
  readonly #held = new Map<TenantId, Hold>()
  readonly #willBeTold: (tenantId: TenantId) => boolean

  /** @param willBeTold whether it is to be announced when a tenant is let in again. */
  constructor(willBeTold: (tenantId: TenantId) => boolean) {
    this.#willBeTold = willBeTold
  }

  /** Tenants that are being held. */
  get size(): number {
    return this.#held.size
  }

  isHeld(tenantId: TenantId): boolean {
    return this.#held.has(tenantId)
  }

  /**
   * Waits until the tenant is let in, or until `deadline` by `performance.now()`.
   *
   * @param probe asks the data database; used by one of those who wait, on behalf of all.
   * @returns false when the deadline came first.
   */
  async wait(tenantId: TenantId, deadline: number, probe: () => Promise<ProbeAnswer>): Promise<boolean> {
    let hold = this.#held.get(tenantId)
    if (!hold) {
      const firstDelay = this.#willBeTold(tenantId) ? TOLD_DELAY_MS : FIRST_DELAY_MS
      hold = new Hold(firstDelay, probe, () => this.#held.delete(tenantId))
      this.#held.set(tenantId, hold)
    }
    return hold.wait(deadline)
  }

  /** Probes at once where the change may have let a tenant in. */
  wake(change: PlacementChange): void {
    if (change === 'all') for (const hold of this.#held.values()) hold.hurry()
    else this.#held.get(change.tenantId)?.hurry()
  }

  /** Lets a tenant's requests go on without asking first. Those that are still held wait again. */
  open(tenantId: TenantId): void {
    this.#held.get(tenantId)?.end()
  }
}

class Hold {
  readonly #probe: () => Promise<ProbeAnswer>
  readonly #ended: () => void
  readonly #waiting = new Set<(released: boolean) => void>()
  #delay: number
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  constructor(firstDelay: number, probe: () => Promise<ProbeAnswer>, ended: () => void) {
    this.#delay = firstDelay
    this.#probe = probe
    this.#ended = ended
    this.#schedule()
  }

  wait(deadline: number): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (released: boolean) => {
        clearTimeout(timer)
        this.#waiting.delete(settle)
        resolve(released)
      }
      const timer = setTimeout(() => settle(false), Math.max(0, deadline - performance.now()))
      this.#waiting.add(settle)
    })
  }

  hurry(): void {
    this.#delay = FIRST_DELAY_MS
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    void this.#ask()
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#ended()
    for (const settle of [...this.#waiting]) settle(true)
  }

  #schedule(): void {
    this.#timer = setTimeout(() => void this.#ask(), this.#delay)
    this.#delay = Math.min(this.#delay * 2, MAX_DELAY_MS)
  }

  async #ask(): Promise<void> {
    this.#timer = undefined
    const answer = this.#waiting.size === 0 ? 'open' : await this.#probe()
    if (answer === 'open') this.end()
    else this.#schedule()
  }
}
