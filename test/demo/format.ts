const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const decimal = new Intl.NumberFormat('en-US', { minimumFractionDigits: 1, maximumFractionDigits: 1 })

export function formatCount(value: number): string {
  return whole.format(value)
}

/** With one digit after the point. */
export function formatDecimal(value: number): string {
  return decimal.format(value)
}

export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`
  if (bytes < 1_000_000) return `${formatDecimal(bytes / 1_000)} kB`
  return `${formatDecimal(bytes / 1_000_000)} MB`
}
