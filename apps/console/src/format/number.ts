const count = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

/** A count with separators between thousands: `200,000`. */
export function formatCount(value: number): string {
  return count.format(value)
}

/** A count and its noun, in the right number: `1 table`, `2 tables`. */
export function formatQuantity(value: number, singular: string, plural = `${singular}s`): string {
  return `${formatCount(value)} ${value === 1 ? singular : plural}`
}

/** The whole percentage of a part, 0 to 100; a part of nothing counts as 0. */
export function percentage(part: number, whole: number): number {
  if (whole <= 0) return 0
  return Math.min(100, Math.max(0, Math.floor((part / whole) * 100)))
}
