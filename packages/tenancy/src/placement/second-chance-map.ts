/** What a {@link SecondChanceMap} holds. */
export interface Entry {
  /** Set by whoever makes use of the entry; a plain write, so that a hit changes nothing else. */
  used: boolean
}

interface Shard<V> {
  readonly entries: Map<string, V>
  /** Where the search for an entry that can go has stopped; a Map's iterator stays good through changes. */
  hand: MapIterator<[string, V]>
}

/** A Map that grows, or whose entries come and go, is now and then rebuilt as a whole; small ones in no time. */
const SHARD_SIZE = 16_384
const MAX_SHARDS = 256

/**
 * A map of at most `max` entries. When it is full, the oldest entry goes that has not been used since it was last
 * considered: nearly the least recently used one, for a hit that costs a look-up and a write. Holds a million
 * entries without the pauses that a single Map of that size makes.
 */
export class SecondChanceMap<V extends Entry> {
  readonly #max: number
  readonly #shards: readonly Shard<V>[]
  readonly #mask: number
  #size = 0

  constructor(max: number) {
    this.#max = max
    let count = 1
    while (count < MAX_SHARDS && count * SHARD_SIZE < max) count *= 2
    this.#shards = Array.from({ length: count }, () => newShard<V>())
    this.#mask = count - 1
  }

  get size(): number {
    return this.#size
  }

  get isFull(): boolean {
    return this.#size >= this.#max
  }

  get(key: string): V | undefined {
    return this.#shard(key)?.entries.get(key)
  }

  set(key: string, value: V): void {
    const shard = this.#shard(key)
    if (!shard) return
    const before = shard.entries.size
    shard.entries.set(key, value)
    this.#size += shard.entries.size - before
    if (this.#size > this.#max) this.#evict(shard, key)
  }

  delete(key: string): void {
    if (this.#shard(key)?.entries.delete(key)) this.#size--
  }

  /** Takes one out of the shard that has grown, or of another when it has nothing else. */
  #evict(grown: Shard<V>, except: string): void {
    const shard =
      grown.entries.size > 1 ? grown : this.#shards.find((other) => other !== grown && other.entries.size > 0)
    while (shard) {
      const { value: next, done } = shard.hand.next()
      if (done) {
        shard.hand = shard.entries.entries()
        continue
      }
      const [key, entry] = next
      if (key === except) continue
      if (entry.used) {
        entry.used = false
        continue
      }
      shard.entries.delete(key)
      this.#size--
      return
    }
  }

  /** By the end of the key: where UUIDs that begin with the time, and numbers, differ. */
  #shard(key: string): Shard<V> | undefined {
    if (this.#mask === 0) return this.#shards[0]
    const { length } = key
    const hash = key.charCodeAt(length - 1) * 31 + key.charCodeAt(length - 2) * 7 + key.charCodeAt(length - 3)
    return this.#shards[hash & this.#mask]
  }
}

function newShard<V>(): Shard<V> {
  const entries = new Map<string, V>()
  return { entries, hand: entries.entries() }
}
