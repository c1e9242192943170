import { prepareValue } from 'pg/lib/utils.js'

const NULL = '\\N'
const SPECIAL = /[\\\t\n\r]/
const ALL_SPECIAL = /[\\\t\n\r]/g
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }

/**
 * A row in the text format of COPY, its line break included. A value is written as `pg` writes a parameter: arrays as
 * arrays, other objects as JSON, dates with their offset, Buffers as bytea; null and undefined are NULL.
 */
export function copyTextRow(values: readonly unknown[]): string {
  let line = ''
  for (let index = 0; index < values.length; index++) {
    if (index > 0) line += '\t'
    line += copyTextValue(values[index])
  }
  return `${line}\n`
}

function copyTextValue(value: unknown): string {
  if (typeof value === 'string') return escaped(value)
  if (typeof value === 'number') return String(value)
  const wire = prepareValue(value)
  if (wire === null) return NULL
  return typeof wire === 'string' ? escaped(wire) : `\\\\x${wire.toString('hex')}`
}

/** Most values have nothing to escape, and to look is cheaper than to replace. */
function escaped(text: string): string {
  return SPECIAL.test(text) ? text.replace(ALL_SPECIAL, (character) => ESCAPES[character] ?? character) : text
}
