/**
 * One token of what the scanner understands; anything else, such as U&"...", ends the scan. Blank is what PostgreSQL
 * takes for it: to PostgreSQL other spaces, such as U+00A0, are letters.
 */
export const TOKEN =
  /[ \t\n\r\f\v]+|'(?:[^'\\]|'')*'(?!\s*')|"(?:[^"]|"")+"|\$\d+|\d[\d.]*(?:e[+-]?\d+)?|[a-z_][a-z0-9_]*(?!['$]|&["'])|::|->>?|#>>?|[<>=!]+|\|\||&&|@>|[-+*/%^~?](?![-*])|[(),.;:[\]@#&|]/iy

/** PostgreSQL cuts longer names off, and then two that differ may be the same. */
const MAX_NAME_BYTES = 63
const DOUBLE_QUOTE = 34
const SINGLE_QUOTE = 39
const BLANK = /^\s/
const WORD = /^[a-z_]/

/**
 * The tokens of a text, without the blanks between them: words in lower case, a quoted name as one quote and the name,
 * a string as its quotes.
 *
 * @returns undefined when there is anything in the text that the scanner does not understand.
 */
export function tokensOf(text: string): readonly string[] | undefined {
  const tokens: string[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const found = TOKEN.exec(text)?.[0]
    if (found === undefined) return undefined
    const first = found.charCodeAt(0)
    if (first === SINGLE_QUOTE) tokens.push("''")
    else if (!BLANK.test(found)) {
      const token =
        first === DOUBLE_QUOTE ? `"${found.slice(1, -1).replaceAll('""', '"')}` : found.toLowerCase()
      if (isTooLong(token)) return undefined
      tokens.push(token)
    }
  }
  return tokens
}

/** The name that a token stands for; undefined when it is none. */
export function nameOf(token: string | undefined): string | undefined {
  if (token === undefined) return undefined
  if (isQuotedName(token)) return token.slice(1)
  return WORD.test(token) ? token : undefined
}

export function isQuotedName(token: string): boolean {
  return token.charCodeAt(0) === DOUBLE_QUOTE
}

export function isWord(token: string): boolean {
  return WORD.test(token)
}

function isTooLong(token: string): boolean {
  const name = nameOf(token)
  return name !== undefined && name.length * 3 > MAX_NAME_BYTES && Buffer.byteLength(name) > MAX_NAME_BYTES
}
