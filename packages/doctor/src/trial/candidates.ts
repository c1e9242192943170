import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import type { Column } from '../facts/model.ts'

/** What a column may be given, likeliest first; each is new, so that no two rows collide. */
export type Candidates = readonly (() => string)[]

const hex = (bytes: number) => randomBytes(bytes).toString('hex')
const fixed = (...values: string[]): Candidates => values.map((value) => () => value)

const INTEGERS: Readonly<Record<string, number>> = {
  smallint: 32_767,
  integer: 2_147_483_647,
  bigint: 2 ** 47,
}

/** Values for a column, by its type and by the literals that its constraints name. */
export function candidatesFor(column: Column, literals: readonly string[]): Candidates {
  if (column.typeKind === 'enum') return fixed(...column.enumLabels)
  if (column.typeKind === 'array') return fixed('{}', '{1}')
  const largest = INTEGERS[column.baseType]
  if (largest !== undefined) {
    // The upper half: what a sequence gives out is far below.
    const random = () => String(randomInt(Math.floor(largest / 2), largest))
    return column.default === null && !column.isIdentity
      ? [...numbers(literals), () => '1', random, ...fixed('0', '10', '100', '2026')]
      : [random]
  }
  const known = BY_TYPE[column.baseType]
  if (known) return known
  return [...fixed(...literals), ...texts(lengthOf(column))]
}

/** A value that is surely new, for a column of a key; undefined where the type has too few. */
export function uniqueValue(column: Column): (() => string) | undefined {
  const largest = INTEGERS[column.baseType]
  if (largest !== undefined) return () => String(randomInt(Math.floor(largest / 2), largest))
  if (column.baseType === 'uuid') return () => randomUUID()
  return undefined
}

/** Literals in a constraint: `status in ('open', 'done')`, `code ~ '^[A-Z]{3}$'`, `price >= 10`. */
export function literalsOf(expression: string): string[] {
  const quoted = [...expression.matchAll(/'((?:[^']|'')*)'/g)].map((match) =>
    (match[1] ?? '').replaceAll("''", "'"),
  )
  const bare = [...expression.matchAll(/(?<![\w'.])(\d+(?:\.\d+)?)(?![\w'])/g)].map((match) => match[1] ?? '')
  return [...new Set([...quoted, ...bare])]
}

const numbers = (literals: readonly string[]): Candidates =>
  literals
    .filter((literal) => /^\d+$/.test(literal))
    .flatMap((literal) => fixed(literal, String(Number(literal) + 1)))

const BY_TYPE: Readonly<Record<string, Candidates>> = {
  uuid: [() => randomUUID()],
  boolean: fixed('false', 'true'),
  numeric: fixed('1', '0', '0.5', '10', '100'),
  real: fixed('1', '0', '0.5'),
  'double precision': fixed('1', '0', '0.5'),
  money: fixed('1'),
  json: fixed('{}', '[]', '"a"'),
  jsonb: fixed('{}', '[]', '"a"'),
  bytea: [...fixed('\\x00', '\\x'), () => `\\x${hex(32)}`, () => `\\x${hex(20)}`, () => `\\x${hex(16)}`],
  date: fixed('now', '2000-01-01', '2100-01-01'),
  'timestamp with time zone': fixed('now', '2000-01-01', '2100-01-01'),
  'timestamp without time zone': fixed('now', '2000-01-01', '2100-01-01'),
  'time without time zone': fixed('12:00'),
  'time with time zone': fixed('12:00+00'),
  interval: fixed('1 day', '1 hour', '0'),
  inet: fixed('192.0.2.1'),
  cidr: fixed('192.0.2.0/24'),
  macaddr: fixed('08:00:2b:01:02:03'),
  tsvector: fixed('a'),
  xml: fixed('<a/>'),
  point: fixed('(0,0)'),
  bit: fixed('0'),
  'bit varying': fixed('0'),
  oid: fixed('0'),
}

/** Text of many kinds, since a constraint may ask for any of them. */
function texts(length: number): Candidates {
  const kinds: Candidates = [
    () => `d${hex(6)}`,
    () => `d${hex(5)}@example.com`,
    () => `https://example.com/${hex(5)}`,
    ...fixed(
      'EUR',
      'eur',
      'US',
      'en',
      'en-US',
      'A',
      'a',
      '1',
      '2026-01-01',
      '+4930123456',
      '#aabbcc',
      '192.0.2.1',
      '{}',
    ),
    () => randomUUID(),
    () => hex(32),
    () => hex(20),
    () => `${hex(4)}.example.com`,
    () => String(randomInt(100_000, 999_999)),
  ]
  return kinds.map((kind) => () => kind().slice(0, length))
}

function lengthOf(column: Column): number {
  return Number(/\((\d+)\)/.exec(column.type)?.[1] ?? 200)
}
