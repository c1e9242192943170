/**
 * Judges the expression of a policy, as the server prints it: a conjunction holds the rows of one tenant if any part
 * of it does, a disjunction only if all of its parts do.
 */
export function isTenantBound(expression: string, tenantColumn: string): boolean {
  const inner = withoutOuterParentheses(expression.trim())
  const either = splitAt(inner, 'OR')
  if (either.length > 1) return either.every((part) => isTenantBound(part, tenantColumn))
  const both = splitAt(inner, 'AND')
  if (both.length > 1) return both.some((part) => isTenantBound(part, tenantColumn))
  return comparesTenant(inner, tenantColumn)
}

/** Whether the comparison of the tenant column is all that the expression says. */
export function isComparison(expression: string, tenantColumn: string): boolean {
  return comparesTenant(withoutOuterParentheses(expression.trim()), tenantColumn)
}

/** `true`, also in parentheses. */
export function isAlwaysTrue(expression: string): boolean {
  return withoutOuterParentheses(expression.trim()) === 'true'
}

/** `tenant_id = <something that is not itself a column or a constant>`, on either side, cast or not. */
function comparesTenant(expression: string, tenantColumn: string): boolean {
  const sides = splitAt(expression, '=')
  const [left, right] = sides.map((side) => side.trim())
  if (sides.length !== 2 || left === undefined || right === undefined) return false
  return (
    (isColumn(left, tenantColumn) && namesTenant(right)) ||
    (isColumn(right, tenantColumn) && namesTenant(left))
  )
}

function namesTenant(side: string): boolean {
  return /\(|\b(current_user|session_user|current_role)\b/i.test(side)
}

function isColumn(side: string, column: string): boolean {
  const bare = withoutCasts(side)
  const last = bare.slice(bare.lastIndexOf('.') + 1)
  return last === column || last === `"${column.replaceAll('"', '""')}"`
}

/** Whether the tenant column is cast or wrapped, so that an index on it cannot be used. */
export function wrapsColumn(expression: string, column: string, columnType: string): boolean {
  const name = escaped(column)
  const cast = new RegExp(`"?\\b${name}\\b"?\\)?::(\\w+)`)
  const casted = cast.exec(expression)?.[1]
  // varchar to text is the same value: the server prints the cast and uses the index.
  const isRelabelled = casted === 'text' && /^(character|varchar|text)/.test(columnType)
  if (casted !== undefined && !isRelabelled && !columnType.startsWith(casted)) return true
  return new RegExp(`\\b(?!coalesce)\\w+\\(\\s*\\(?"?${name}\\b"?\\)?(::\\w+)?\\s*\\)`, 'i').test(expression)
}

/** Whether a setting is cast without a guard: after a transaction it is an empty string, which most types refuse. */
export function castsBareSetting(expression: string): boolean {
  return /(?<!NULLIF\()\bcurrent_setting\([^)]*\)\)*::(?!text|character|varchar)\w/i.test(expression)
}

/** Whether the expression takes the tenant from a setting, which any SQL can set. */
export function readsSetting(expression: string): boolean {
  return /\bcurrent_setting\(/i.test(expression)
}

function withoutCasts(side: string): string {
  let bare = withoutOuterParentheses(side)
  for (;;) {
    const next = withoutOuterParentheses(bare.replace(/::[\w ]+(\(\d+\))?$/, '').trim())
    if (next === bare) return bare
    bare = next
  }
}

function withoutOuterParentheses(text: string): string {
  let inner = text.trim()
  while (inner.startsWith('(') && closingOf(inner) === inner.length - 1) inner = inner.slice(1, -1).trim()
  return inner
}

/** Where the parenthesis that opens the text is closed. */
function closingOf(text: string): number {
  let depth = 0
  for (const [at, character] of outsideQuotes(text)) {
    if (character === '(') depth++
    if (character === ')' && --depth === 0) return at
  }
  return -1
}

/** Splits at a word or sign that stands outside parentheses and quotes. */
function splitAt(text: string, separator: 'OR' | 'AND' | '='): string[] {
  const wanted = ` ${separator} `
  const parts: string[] = []
  let [depth, from] = [0, 0]
  for (const [at, character] of outsideQuotes(text)) {
    if (character === '(') depth++
    if (character === ')') depth--
    if (depth === 0 && at >= from && text.startsWith(wanted, at)) {
      parts.push(text.slice(from, at))
      from = at + wanted.length
    }
  }
  return [...parts, text.slice(from)]
}

function* outsideQuotes(text: string): Generator<[number, string]> {
  let quote = ''
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? ''
    if (quote === '' && (character === "'" || character === '"')) quote = character
    else if (character === quote) quote = ''
    else if (quote === '') yield [at, character]
  }
}

const escaped = (text: string) => text.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&')
