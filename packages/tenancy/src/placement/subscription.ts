import { setTimeout as sleep } from 'node:timers/promises'
import type { PlacementListener, PlacementSource } from './placement-source.ts'

const RETRY_MS = 1_000

/** Listens to a placement source from now on, trying again for as long as it cannot. */
export class Subscription {
  readonly #stop = new AbortController()
  readonly #running: Promise<void>

  constructor(source: PlacementSource, listener: PlacementListener) {
    this.#running = this.#run(source, listener)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(source: PlacementSource, listener: PlacementListener): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await this.#listen(source, listener)
      } catch {
        await sleep(RETRY_MS, undefined, { signal, ref: false }).catch(() => undefined)
      }
    }
  }

  async #listen(source: PlacementSource, listener: PlacementListener): Promise<void> {
    const { signal } = this.#stop
    const subscribing = source.subscribe(listener)
    const unsubscribe = await Promise.race([subscribing, aborted(signal)])
    if (!unsubscribe) {
      // Closed before it had begun; what comes of it is not waited for.
      subscribing.then((late) => late()).catch(() => undefined)
      return
    }
    // What changed before we listened was not heard.
    listener('all')
    await aborted(signal)
    await unsubscribe()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
