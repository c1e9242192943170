import type { Catalog, Directions, Lease } from '@freehold/catalog'
import { FreeholdError } from '@freehold/contract'

/** Renews a lease until it is ended, and hears what is asked of the operation meanwhile. */
export class LeaseKeeper {
  readonly #operations: Catalog['operations']
  readonly #lease: Lease
  readonly #leaseMs: number
  readonly #stop = new AbortController()
  readonly #timer: NodeJS.Timeout
  #renewedAt = performance.now()
  #directions: Directions
  #news = Promise.withResolvers<void>()

  constructor(catalog: Catalog, lease: Lease, leaseMs: number, directions: Directions) {
    this.#operations = catalog.operations
    this.#lease = lease
    this.#leaseMs = leaseMs
    this.#directions = directions
    this.#timer = setInterval(() => void this.renew().catch(() => undefined), leaseMs / 4)
    this.#hear(directions)
  }

  /** Aborted when the operation must be left or given up; its reason says why. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** What was last heard; it may be as old as a quarter of the lease. */
  get directions(): Directions {
    return this.#directions
  }

  /** Asks now. @throws FreeholdError `catalog_unavailable` */
  async renew(): Promise<void> {
    try {
      const sent = performance.now()
      const directions = await this.#operations.renewLease(this.#lease, this.#leaseMs)
      this.#renewedAt = sent
      if (directions === undefined) this.#stop.abort(new FreeholdError('lease_lost'))
      else this.#hear(directions)
    } catch (error) {
      if (performance.now() - this.#renewedAt > this.#leaseMs)
        this.#stop.abort(new FreeholdError('lease_lost'))
      throw error
    }
  }

  /** Fulfilled when the next answer has come. */
  next(): Promise<void> {
    return this.#news.promise
  }

  end(): void {
    clearInterval(this.#timer)
  }

  #hear(directions: Directions): void {
    this.#directions = directions
    if (directions.cancelRequested) this.#stop.abort(new FreeholdError('move_cancelled'))
    this.#news.resolve()
    this.#news = Promise.withResolvers()
  }
}
