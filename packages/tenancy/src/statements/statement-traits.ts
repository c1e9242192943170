import { RecentMap } from '@freehold/postgres'
import { mayCallByColumn } from './column-notation.ts'
import { BEFORE_PARENTHESIS, HARMLESS } from './harmless-functions.ts'
import { isQuotedName, isWord, nameOf, tokensOf } from './token.ts'

/** What a statement may do, judged from its text before it is sent. */
export interface StatementTraits {
  /** A reader is surely a read. What is not surely a read enters as a writer. */
  readonly mode: 'reader' | 'writer'
  /**
   * Whether it might change the session beyond its transaction: settings, advisory locks, prepared statements,
   * cursors, temporary tables, channels. The session is reset before anybody else gets it.
   */
  readonly leavesTraces: boolean
}

const READ: StatementTraits = { mode: 'reader', leavesTraces: false }
const WRITE: StatementTraits = { mode: 'writer', leavesTraces: false }
const ANYTHING: StatementTraits = { mode: 'writer', leavesTraces: true }

const MAX_TEXTS = 2_000
const MAX_REMEMBERED_LENGTH = 20_000
const MAX_JUDGED_LENGTH = 2_000_000
const judged = new RecentMap<string, StatementTraits>(MAX_TEXTS)

/**
 * Judges a statement. The text is judged and not the tree that it was built from, because the text is what the
 * server executes, whoever wrote it. It is `ANYTHING` unless all of this holds: it is a single SELECT, VALUES,
 * INSERT, UPDATE, DELETE or MERGE, or the EXPLAIN of one; it calls only functions known to be harmless, be it with
 * parentheses or as if they were columns ({@link mayCallByColumn}); and it uses nothing whose reading would take more
 * than this small scanner (comments, dollar quotes, escapes, quoted function names, operators by the name of their
 * schema). A statement that writes must also name nothing of the system's: an UPDATE of pg_settings calls no function
 * in its text, and sets the session all the same.
 *
 * What the product's own triggers, column defaults, views, operators, casts, domains and functions of a row do is not
 * seen: they are part of its schema, as are functions of its own that share the name of a harmless one. Nobody adds to
 * those through the router: its role may create nothing. The system's own operators, casts and types run nothing that
 * is declared volatile.
 */
export function statementTraits(text: string): StatementTraits {
  let traits = judged.get(text)
  if (!traits) {
    traits = judge(text)
    // A long text, such as an insert of many rows, is mostly sent once; 2,000 of them would be a lot to remember.
    if (text.length <= MAX_REMEMBERED_LENGTH) judged.set(text, traits)
  }
  return traits
}

/** Remembers that a statement that looked like a read has turned out to write. */
export function rememberWriter(text: string): void {
  const traits: StatementTraits = { ...statementTraits(text), mode: 'writer' }
  if (text.length <= MAX_REMEMBERED_LENGTH) judged.set(text, traits)
}

const READS = new Set(['select', 'with', 'values'])
const WRITES = new Set(['insert', 'update', 'delete', 'merge'])
/** The schemas of the system and, as they are found without their schema, the relations in them. */
const SYSTEM_NAME = /^"?(?:pg_|information_schema)/i

function judge(text: string): StatementTraits {
  if (text.length > MAX_JUDGED_LENGTH) return ANYTHING
  const tokens = tokensOf(text)
  if (!tokens) return ANYTHING
  const start = tokens[0] === 'explain' ? afterExplain(tokens) : 0
  const first = tokens[start] ?? ''
  if (!READS.has(first) && !WRITES.has(first)) return ANYTHING
  let reads = READS.has(first)
  for (let index = start; index < tokens.length; index++) {
    const token = tokens[index] ?? ''
    if (token === '(' && !mayPrecedeParenthesis(tokens, index)) return ANYTHING
    if (token === 'into' && !writesInto(tokens[index - 1])) return ANYTHING
    if (token === ';' && index < tokens.length - 1) return ANYTHING
    // FOR also begins FOR UPDATE; a substring(... for ...) that is taken for a write costs little.
    if (WRITES.has(token) || token === 'for') reads = false
  }
  if (mayCallByColumn(tokens)) return ANYTHING
  if (reads) return READ
  return tokens.some((token) => SYSTEM_NAME.test(token)) ? ANYTHING : WRITE
}

/** Where the statement begins that is to be explained: what stands before it names options. */
function afterExplain(tokens: readonly string[]): number {
  let at = 1
  if (tokens[at] === '(') at = tokens.indexOf(')') + 1
  while (tokens[at] === 'analyze' || tokens[at] === 'verbose') at++
  return at
}

/** Whether the parenthesis calls nothing, or something harmless. */
function mayPrecedeParenthesis(tokens: readonly string[], index: number): boolean {
  const before = tokens[index - 1]
  if (before === undefined) return true
  // A quoted name before a parenthesis is a list of columns where a table, an alias or a CTE is named.
  if (isQuotedName(before)) return namesColumns(tokens, index)
  if (!isWord(before)) return true
  if (tokens[index - 2] === '.') return tokens[index - 3] === 'pg_catalog' && HARMLESS.has(before)
  return HARMLESS.has(before) || BEFORE_PARENTHESIS.has(before)
}

function namesColumns(tokens: readonly string[], index: number): boolean {
  let at = index - 2
  while (tokens[at] === '.' && nameOf(tokens[at - 1]) !== undefined) at -= 2
  const opener = tokens[at] ?? ''
  return opener === 'into' || opener === 'with' || opener === 'recursive' || opener === 'as'
}

function writesInto(before: string | undefined): boolean {
  return before === 'insert' || before === 'merge'
}
