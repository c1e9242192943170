import { RecentMap } from '@freehold/postgres'
import { statementTraits } from './statement-traits.ts'
import { TOKEN } from './token.ts'

/**
 * What a statement means behind a pooler in transaction mode, where a server session is anybody's as soon as the
 * transaction has ended:
 *
 * - `free`: it leaves nothing behind, or nothing that outlives the transaction (SET LOCAL, savepoints, LOCK).
 * - `cleaned`: it calls what the router does not know, and may have changed the session: that is undone in the same
 *   transaction.
 * - `refused`: it is for the session that it is there (SET, PREPARE, LISTEN, cursors, temporary tables), or it might
 *   end the transaction (COMMIT, CALL, DO), after which nothing can be undone any more.
 */
export type PooledUse = 'free' | 'cleaned' | 'refused'

const MAX_TEXTS = 500
const judged = new RecentMap<string, PooledUse>(MAX_TEXTS)

export function pooledUse(text: string): PooledUse {
  if (!statementTraits(text).leavesTraces) return 'free'
  let use = judged.get(text)
  if (use === undefined) {
    use = judge(text)
    judged.set(text, use)
  }
  return use
}

/** How PostgreSQL skips to the first word; comments nest there, and what is nested here ends in no word at all. */
const FIRST_WORD =
  /^(?:\s|--[^\n\r]*(?:[\n\r]|$)|\/\*(?:(?!\*\/|\/\*)[\s\S])*\*\/|\()*([a-z_]+)(?![a-z0-9_$])/i
const QUERIES = new Set([
  'select',
  'with',
  'values',
  'insert',
  'update',
  'delete',
  'merge',
  'explain',
  'table',
])
/** SELECT ... INTO makes a table; where the text cannot be read for certain, the word may stand for that. */
const NAMES_INTO = /\binto\b/i
const INSERTS_INTO = /\b(?:insert|merge)\s+into\b/gi
/** What ends with the transaction, if the text is nothing else. */
const WITHIN_TRANSACTION =
  /^\s*(?:set\s+local|set\s+transaction|set\s+constraints|savepoint|release|rollback(?:\s+(?:work|transaction))?\s+to|lock|show)\s/i

function judge(text: string): PooledUse {
  if (WITHIN_TRANSACTION.test(text) && isPlain(text)) return 'free'
  const first = FIRST_WORD.exec(text)?.[1]?.toLowerCase()
  if (first === undefined || !QUERIES.has(first)) return 'refused'
  return NAMES_INTO.test(text.replace(INSERTS_INTO, '')) ? 'refused' : 'cleaned'
}

/** Whether there is nothing in it that takes more than a glance to read, and no second statement. */
function isPlain(text: string): boolean {
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const token = TOKEN.exec(text)?.[0]
    if (token === undefined || token === ';') return false
  }
  return true
}
