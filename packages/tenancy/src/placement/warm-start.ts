import type { PlacementCache } from './placement-cache.ts'
import type { PlacementSource } from './placement-source.ts'
import { within } from './within.ts'

/** Small enough for a page to be dealt with between two requests. */
const PAGE_TENANTS = 500
const PAGE_TIMEOUT_MS = 10_000
const LISTENING_TIMEOUT_MS = 10_000

/** `off`: not asked for. `failed`: the catalog did not answer; what had been loaded until then is kept. */
export type WarmStartState = 'off' | 'running' | 'done' | 'failed'

/** Loads placements before anybody asks for them, page by page, in the background. */
export class WarmStart {
  /** Settles when it is through or has failed; never rejects. */
  readonly finished: Promise<void>
  #state: WarmStartState = 'off'
  #loaded = 0
  #stopped = false

  /**
   * @param tenants how many to load at most; undefined: none.
   * @param listening what is loaded before the router listens for changes would be out of date at once.
   */
  constructor(
    source: PlacementSource,
    cache: PlacementCache,
    tenants: number | undefined,
    listening: Promise<void>,
  ) {
    this.finished = tenants === undefined ? Promise.resolve() : this.#run(source, cache, tenants, listening)
  }

  get state(): WarmStartState {
    return this.#state
  }

  /** Placements loaded so far. */
  get loaded(): number {
    return this.#loaded
  }

  /** Loads no further page. */
  stop(): void {
    this.#stopped = true
  }

  async #run(
    source: PlacementSource,
    cache: PlacementCache,
    tenants: number,
    listening: Promise<void>,
  ): Promise<void> {
    this.#state = 'running'
    try {
      await within(LISTENING_TIMEOUT_MS, listening)
      await this.#loadPages(source, cache, tenants)
      this.#state = 'done'
    } catch {
      // Whoever needs what could not be loaded asks for it, and is told what is wrong.
      this.#state = 'failed'
    }
  }

  async #loadPages(source: PlacementSource, cache: PlacementCache, tenants: number): Promise<void> {
    let after: string | undefined
    for (let left = tenants; left > 0 && !this.#stopped && !cache.isFull; left -= PAGE_TENANTS) {
      const limit = Math.min(PAGE_TENANTS, left)
      const page = await cache.load(async () => {
        const found = await within(PAGE_TIMEOUT_MS, source.page?.(after, limit))
        if (!found) throw new Error('The source cannot list its routes.')
        return found
      })
      this.#loaded += page.loaded
      after = page.next
      if (after === undefined) return
    }
  }
}
