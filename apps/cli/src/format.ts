import { type Placement, relocationKind } from '@freehold/contract'

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const
const count = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const significant = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

/** `200,000` */
export const formatCount = (value: number): string => count.format(value)

/** `40.2 MB`; units are decimal. */
export function formatBytes(bytes: number): string {
  const unit = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1)
  return `${significant.format(bytes / 1000 ** unit)} ${UNITS[unit]}`
}

/** `840 ms`, `2.3 s`, `3 min 20 s`, `12 h 30 min`, `7 d` */
export function formatSeconds(seconds: number): string {
  if (seconds < 1) return `${significant.format(seconds * 1000)} ms`
  if (seconds < 60) return `${significant.format(seconds)} s`
  if (seconds < 3_600) return inTwo(Math.round(seconds), 60, 'min', 1, 's')
  if (seconds < 86_400) return inTwo(Math.round(seconds), 3_600, 'h', 60, 'min')
  return inTwo(Math.round(seconds), 86_400, 'd', 3_600, 'h')
}

function inTwo(seconds: number, unit: number, name: string, smallerUnit: number, smaller: string): string {
  const rest = Math.floor((seconds % unit) / smallerUnit)
  return `${Math.floor(seconds / unit)} ${name}${rest === 0 ? '' : ` ${rest} ${smaller}`}`
}

/** `eu-1/silo_acme (silo, eu)`, `eu-1/pool.t_acme (schema, eu)` */
export function formatPlacement(placement: Omit<Placement, 'dataDatabaseId'>): string {
  const { cluster, database, isolation, schema, region } = placement
  const place = isolation === 'schema' ? `${database}.${schema}` : database
  return `${cluster}/${place} (${isolation}, ${region})`
}

/** `promotion from pool to schema`, `relocation within silo` */
export function formatIsolations(
  { isolation: from }: Pick<Placement, 'isolation'>,
  { isolation: to }: Pick<Placement, 'isolation'>,
): string {
  return `${relocationKind(from, to)} ${from === to ? `within ${from}` : `from ${from} to ${to}`}`
}

/** `2026-11-21 04:12:03` in UTC. */
export const formatInstant = (iso: string): string => iso.slice(0, 19).replace('T', ' ')

/** Rows under headings, the columns as wide as they need to be. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  return [headings, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Names and values, one pair a line; what has no value is left out. */
export function formatFields(fields: readonly (readonly [string, string | null | undefined])[]): string {
  const known = fields.filter((field): field is [string, string] => field[1] != null)
  const width = Math.max(...known.map(([name]) => name.length))
  return known.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n')
}
