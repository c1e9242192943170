import { jsonbText } from '../ledger/jsonb-text.ts'
import type { Random } from '../seed/random.ts'

/** The cells that fields become. */
export function cellsOf(fields: object): Record<string, string | null> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]): [string, string | null] => {
      if (value === null || typeof value === 'string') return [name, value]
      return [name, typeof value === 'object' ? jsonbText(value) : String(value)]
    }),
  )
}

/** One to three of the fields. */
export function someOf<F extends object>(random: Random, fields: F): Partial<F> {
  const names = Object.keys(fields)
  const chosen = new Set(Array.from({ length: 1 + random.below(3) }, () => random.pick(names)))
  return Object.fromEntries(Object.entries(fields).filter(([name]) => chosen.has(name))) as Partial<F>
}
