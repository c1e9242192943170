/**
 * Writes a value as Postgres writes it from a jsonb column: keys by length and then by bytes, a space after
 * colons and commas.
 */
export function jsonbText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jsonbText).join(', ')}]`
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).map(([key, member]) => ({ key: Buffer.from(key), member }))
    entries.sort((a, b) => a.key.length - b.key.length || a.key.compare(b.key))
    return `{${entries.map(({ key, member }) => `${JSON.stringify(key.toString())}: ${jsonbText(member)}`).join(', ')}}`
  }
  return JSON.stringify(value)
}
