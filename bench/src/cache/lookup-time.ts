import { median } from '../statistics.ts'

const ROUNDS = 9
const BATCHES_PER_ROUND = 200
/** Few enough for the keys to be in the processor's cache, as one is that has just been read from a request. */
const KEYS_PER_BATCH = 500

/**
 * The time of one look-up, in ns: the median of several rounds of look-ups in random order.
 *
 * @param copy makes the key that a request brings: equal to the cached one, and not the same string.
 */
export function lookupNs<K>(lookup: (key: K) => unknown, keys: readonly K[], copy: (key: K) => K): number {
  return median(Array.from({ length: ROUNDS }, () => roundNs(lookup, keys, copy)))
}

function roundNs<K>(lookup: (key: K) => unknown, keys: readonly K[], copy: (key: K) => K): number {
  let elapsedMs = 0
  for (let batch = 0; batch < BATCHES_PER_ROUND; batch++) {
    const wanted = Array.from({ length: KEYS_PER_BATCH }, () => copy(pick(keys)))
    let found = 0
    const start = performance.now()
    for (const key of wanted) if (lookup(key) !== undefined) found++
    elapsedMs += performance.now() - start
    if (found !== wanted.length) throw new Error('a tenant that was cached is not any more')
  }
  return (elapsedMs * 1_000_000) / (BATCHES_PER_ROUND * KEYS_PER_BATCH)
}

function pick<K>(keys: readonly K[]): K {
  const key = keys[Math.floor(Math.random() * keys.length)]
  if (key === undefined) throw new Error('there is nothing to look up')
  return key
}
