/** Random numbers that are the same for the same seed (mulberry32, from a hash of the seed's text). */
export class Random {
  #state: number

  constructor(seed: string) {
    let hash = 0x811c9dc5
    for (let index = 0; index < seed.length; index++) {
      hash = Math.imul(hash ^ seed.charCodeAt(index), 0x01000193)
    }
    this.#state = hash
  }

  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }

  /** A whole number from the first to the last. */
  int(first: number, last: number): number {
    return first + Math.floor(this.#next() * (last - first + 1))
  }

  /** True in that share of the cases. */
  chance(share: number): boolean {
    return this.#next() < share
  }

  pick<T>(list: readonly T[]): T {
    const picked = list[this.int(0, list.length - 1)]
    if (picked === undefined) throw new RangeError('There is nothing to pick from.')
    return picked
  }

  /** Calls one of the functions. */
  one<T>(...choices: readonly (() => T)[]): T {
    return this.pick(choices)()
  }

  /** A part of the list, in its order; never empty unless the list is. */
  some<T>(list: readonly T[]): readonly T[] {
    const chosen = list.filter(() => this.chance(0.5))
    return chosen.length > 0 || list.length === 0 ? chosen : [this.pick(list)]
  }

  times<T>(count: number, make: (index: number) => T): T[] {
    return Array.from({ length: count }, (_, index) => make(index))
  }
}
