/** A small deterministic source of random numbers (mulberry32): the same seed gives the same numbers. */
export class Random {
  #state: number

  constructor(...seed: readonly number[]) {
    this.#state = seed.reduce((hash, part) => mix(hash ^ (part | 0)), 0x2545f491)
  }

  /** 32 random bits. */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  /** A number from 0 up to, and not including, 1. */
  share(): number {
    return this.bits() / 0x1_0000_0000
  }

  /** An integer from 0 up to, and not including, `end`. */
  below(end: number): number {
    return Math.floor(this.share() * end)
  }

  chance(share: number): boolean {
    return this.share() < share
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }
}

/** Spreads the bits of a 32-bit number (the finaliser of MurmurHash3). */
export function mix(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
