import { publishStatement, statementsAreObserved } from '../events.ts'
import type { Placement } from '../placement/placement.ts'

/**
 * Runs a statement, and tells those who listen to `routerEvents.onStatement`. While nobody listens it asks for no time
 * and reads no text.
 */
export function observed<T>(placement: Placement, text: string, work: () => Promise<T>): Promise<T> {
  const answered = observeStatement(placement, text)
  return answered ? telling(answered, work) : work()
}

async function telling<T>(answered: (error: unknown) => void, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work()
    answered(undefined)
    return result
  } catch (error) {
    answered(error)
    throw error
  }
}

/** @returns what to call when the statement has been answered; undefined while nobody listens. */
export function observeStatement(placement: Placement, text: string): ((error: unknown) => void) | undefined {
  if (!statementsAreObserved()) return undefined
  const { tenantId, address, schema } = placement.route
  const startedAt = Date.now()
  const start = performance.now()
  return (error) =>
    publishStatement({
      tenantId,
      operation: operationOf(text),
      database: address.database,
      schema,
      host: address.host,
      port: address.port,
      startedAt,
      durationMs: performance.now() - start,
      error,
    })
}

const FIRST_WORD = /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/|\()*([a-z]+)/i
const OPERATIONS: ReadonlySet<string> = new Set(
  'SELECT INSERT UPDATE DELETE MERGE WITH VALUES TABLE COPY CALL DO EXPLAIN LOCK SET SHOW CREATE ALTER DROP'.split(
    ' ',
  ),
)

/** Few and known, so that spans can be grouped by it, and so that no word of a product's data gets into one. */
function operationOf(text: string): string {
  const word = FIRST_WORD.exec(text.slice(0, 500))?.[1]?.toUpperCase()
  return word !== undefined && OPERATIONS.has(word) ? word : 'OTHER'
}
