import { mix } from './random.ts'

/** What the ids of the seeded rows stand for. */
export type SeededKind = 'customers' | 'products' | 'orders' | 'order_events'

const SPREAD = 0x9e3779b1
/** The inverse of SPREAD modulo 2^32. */
const GATHER = inverse(SPREAD)

const salts: Readonly<Record<SeededKind, number>> = {
  customers: 11,
  products: 23,
  orders: 37,
  order_events: 53,
}

/**
 * The id of a seeded row: as scattered as a random uuid, yet the row's index can be had back from it, so that the
 * ledger need not keep a seeded row to know it.
 */
export function seededId(seed: number, kind: SeededKind, index: number): string {
  const salt = mix(seed ^ salts[kind])
  const a = hex(mix(index ^ salt))
  const b = hex(mix(index ^ ~salt))
  const c = hex(mix(index + salt))
  const d = hex(Math.imul(index, SPREAD) ^ salt)
  return `${a}-${b.slice(0, 4)}-4${b.slice(5)}-a${c.slice(5)}-${c.slice(0, 4)}${d}`
}

/** The index of a seeded id; undefined when no row of this seed and kind can have it. */
export function seededIndex(seed: number, kind: SeededKind, id: string): number | undefined {
  const salt = mix(seed ^ salts[kind])
  const index = Math.imul(Number.parseInt(id.slice(-8), 16) ^ salt, GATHER) >>> 0
  return seededId(seed, kind, index) === id ? index : undefined
}

const hexBytes = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Eight hexadecimal digits. By table, because a load makes a million of them. */
const hex = (value: number): string =>
  `${hexBytes[value >>> 24]}${hexBytes[(value >>> 16) & 255]}${hexBytes[(value >>> 8) & 255]}${hexBytes[value & 255]}`

/** The inverse of an odd number modulo 2^32, by Newton's method: each step doubles the number of right bits. */
function inverse(odd: number): number {
  let x = odd
  for (let bits = 3; bits < 32; bits *= 2) x = Math.imul(x, 2 - Math.imul(odd, x))
  return x
}
