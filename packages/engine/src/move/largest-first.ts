import type { Move } from './move.ts'

/** Puts what there is to do for each table in an order in which streams that share it end together. */
export function largestFirst<T>(
  { progress }: Pick<Move, 'progress'>,
  items: readonly T[],
  keyOf: (item: T) => string,
): T[] {
  const rows = new Map(progress.current.tables.map(({ table, rowsEstimated }) => [table, rowsEstimated]))
  const rowsOf = (item: T) => rows.get(keyOf(item)) ?? 0
  return [...items].sort((a, b) => rowsOf(b) - rowsOf(a))
}
