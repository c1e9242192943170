import { setTimeout as sleep } from 'node:timers/promises'
import type { PlacementListener, PlacementSource } from './placement-source.ts'

const RETRY_MS = 1_000

type Subscribable = Pick<PlacementSource, 'subscribe'>

/** Listens to a placement source from now on, trying again for as long as it cannot. */
export class Subscription {
  /** Settles after the first attempt to subscribe, whether or not it succeeded. */
  readonly attempted: Promise<void>
  readonly #markAttempted: () => void
  readonly #stop = new AbortController()
  readonly #running: Promise<void>

  constructor(source: Subscribable, listener: PlacementListener) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.attempted = promise
    this.#markAttempted = resolve
    this.#running = this.#run(source, listener)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(source: Subscribable, listener: PlacementListener): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await this.#listen(source, listener)
      } catch {
        this.#markAttempted()
        await sleep(RETRY_MS, undefined, { signal, ref: false }).catch(() => undefined)
      }
    }
  }

  async #listen(source: Subscribable, listener: PlacementListener): Promise<void> {
    const { signal } = this.#stop
    const subscribing = source.subscribe(listener)
    const unsubscribe = await Promise.race([subscribing, aborted(signal)])
    if (!unsubscribe) {
      this.#markAttempted()
      // Closed before it had begun; what comes of it is not waited for.
      subscribing.then((late) => late()).catch(() => undefined)
      return
    }
    // What changed before we listened was not heard.
    listener('all')
    this.#markAttempted()
    await aborted(signal)
    await unsubscribe()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
