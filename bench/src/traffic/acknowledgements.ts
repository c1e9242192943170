import type { Interval } from '../../../test/load/index.ts'
import { longestGap } from '../../../test/load/measure/pause.ts'
import { now } from '../../../test/load/measure/recorder.ts'

/** When requests were acknowledged, and how long each took. */
export class Acknowledgements {
  readonly #from = now()
  readonly #instants: number[] = []
  readonly #latencies: number[] = []

  /** @param sentAt as `performance.now()` tells it. */
  add(sentAt: number): void {
    this.#instants.push(now())
    this.#latencies.push(performance.now() - sentAt)
  }

  longestGap(window: Interval): number {
    return longestGap(this.#instants, { from: this.#from, to: now() }, window)
  }

  /** Infinity when there is none. */
  firstFrom(instant: number): number {
    return this.#instants.find((at) => at >= instant) ?? Number.POSITIVE_INFINITY
  }

  latencies({ from, to }: Interval): number[] {
    return this.#latencies.filter((_, index) => {
      const at = this.#instants[index] ?? 0
      return at >= from && at < to
    })
  }
}
