import { median } from '../router/statistics.ts'

const ROUNDS = 9
const LOOKUPS_PER_ROUND = 200_000

/**
 * The time of one look-up, in ns: the median of several rounds of look-ups in random order.
 *
 * @param copy makes the key that a request brings: equal to the cached one, and not the same string.
 */
export function lookupNs<K>(lookup: (key: K) => unknown, keys: readonly K[], copy: (key: K) => K): number {
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const wanted: K[] = []
    while (wanted.length < LOOKUPS_PER_ROUND) {
      const key = keys[Math.floor(Math.random() * keys.length)]
      if (key !== undefined) wanted.push(copy(key))
    }
    let found = 0
    const start = performance.now()
    for (const key of wanted) if (lookup(key) !== undefined) found++
    const elapsedMs = performance.now() - start
    if (found !== wanted.length) throw new Error('a tenant that was cached is not any more')
    rounds.push((elapsedMs * 1_000_000) / wanted.length)
  }
  return median(rounds)
}
