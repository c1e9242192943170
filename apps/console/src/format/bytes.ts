const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const
const significant = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

/** Bytes in decimal units with three significant digits: `40.2 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  // 999.5 would be written as 1,000 of the smaller unit.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${significant.format(value)} ${units[unit] ?? ''}`
}
