import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseAddress } from '@freehold/postgres'
import type { Connections } from '../kept-connections.ts'
import { RateLimit } from './rate-limit.ts'
import { type LoadLimits, overload, readLoad } from './server-load.ts'

export interface ThrottleOptions {
  /** Where the servers are asked for their load. */
  readonly connections: Connections
  /** Servers on which the work weighs, by what they are called. */
  readonly servers: Readonly<Record<string, DatabaseAddress>>
  readonly limits: LoadLimits
  readonly rowsPerSecond: number | undefined
  /** Ends every wait. */
  readonly signal: AbortSignal
  /** Told what holds the work back, and when nothing does any more. */
  readonly onReason: (reason: string | null) => void
}

const SAMPLE_MS = 1_000

/** Holds work back while a server has enough to do without it, and to so many rows a second. */
export class Throttle {
  readonly #options: ThrottleOptions
  readonly #rate: RateLimit | undefined
  readonly #ended = new AbortController()
  readonly #overloads = new Map<string, string>()
  readonly #watching: Promise<void>[]
  #calm: PromiseWithResolvers<void> | undefined
  /** Fulfilled when each server has been looked at, or could not be. */
  readonly ready: Promise<void>

  constructor(options: ThrottleOptions) {
    this.#options = options
    const { rowsPerSecond, limits, servers, onReason } = options
    if (rowsPerSecond !== undefined) {
      this.#rate = new RateLimit(rowsPerSecond)
      onReason(`at most ${rowsPerSecond} rows/s`)
    }
    const isLimited = limits.activeSessions > 0 || limits.standbyLagSeconds > 0
    const watched = isLimited ? Object.entries(servers) : []
    const firsts = watched.map(() => Promise.withResolvers<void>())
    this.ready = Promise.all(firsts.map(({ promise }) => promise)).then(() => undefined)
    this.#watching = watched.map(([name, address], each) =>
      this.#watch(name, address, () => firsts[each]?.resolve()),
    )
  }

  /** Whether {@link pass} must be told of rows. */
  get countsRows(): boolean {
    return this.#rate !== undefined
  }

  /** Rows have passed. @returns undefined when others may at once. */
  pass(rows: number): Promise<void> | undefined {
    if (this.#overloads.size > 0) return this.#whenCalm()
    if (this.#rate === undefined) return undefined
    const delay = this.#rate.delay(rows, performance.now())
    return delay < 1 ? undefined : sleep(delay, undefined, { signal: this.#options.signal })
  }

  async close(): Promise<void> {
    this.#ended.abort()
    this.#calm?.resolve()
    await Promise.all(this.#watching)
    this.#options.onReason(null)
  }

  async #whenCalm(): Promise<void> {
    const { signal } = this.#options
    signal.throwIfAborted()
    this.#calm ??= Promise.withResolvers()
    const { promise, resolve } = this.#calm
    const wake = () => resolve()
    signal.addEventListener('abort', wake, { once: true })
    await promise
    signal.removeEventListener('abort', wake)
    signal.throwIfAborted()
  }

  /** A server that does not answer is not taken for busy: the work itself will notice. */
  async #watch(name: string, address: DatabaseAddress, onSample: () => void): Promise<void> {
    const { signal } = this.#ended
    const { connections, limits } = this.#options
    while (!signal.aborted) {
      const load = await connections.use(address, readLoad).catch(() => undefined)
      this.#judge(name, load && overload(name, load, limits))
      onSample()
      await sleep(SAMPLE_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  #judge(name: string, reason: string | undefined): void {
    if (reason === this.#overloads.get(name)) return
    if (reason === undefined) this.#overloads.delete(name)
    else this.#overloads.set(name, reason)
    const [first] = this.#overloads.values()
    const { rowsPerSecond, onReason } = this.#options
    onReason(first ?? (rowsPerSecond === undefined ? null : `at most ${rowsPerSecond} rows/s`))
    if (first !== undefined) return
    this.#calm?.resolve()
    this.#calm = undefined
  }
}
