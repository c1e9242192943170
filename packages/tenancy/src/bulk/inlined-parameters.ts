import { FreeholdError } from '@freehold/contract'
import { quoteValue } from '@freehold/postgres'
import { TOKEN } from '../statements/token.ts'

/**
 * Writes the parameters of a query into its text, because COPY takes none. To the server a literal is what a
 * parameter is: a text whose type follows from where it stands.
 *
 * @throws FreeholdError `invalid_request` for a text in which parameters cannot be told from text with certainty
 * (comments, escapes, dollar quotes), and for one that would end the query that it stands in.
 */
export function inlineParameters(text: string, parameters: readonly unknown[]): string {
  let inlined = ''
  let depth = 0
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const token = TOKEN.exec(text)?.[0]
    if (token === '(') depth++
    if (token === ')') depth--
    if (token === undefined || token === ';' || depth < 0) throw notCopyable()
    inlined += PARAMETER.test(token) ? quoteValue(parameters[Number(token.slice(1)) - 1]) : token
  }
  if (depth !== 0) throw notCopyable()
  return inlined
}

const PARAMETER = /^\$\d+$/

function notCopyable(): FreeholdError {
  return new FreeholdError(
    'invalid_request',
    'The query cannot be copied from: write it without comments and escapes, and give values as parameters.',
  )
}
