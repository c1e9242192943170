/** A value as Postgres writes it as text, so that two values are equal when their texts are. */
export type Cell = string | null

/** A value that the database chose and the client has not seen yet. */
export interface Unseen {
  readonly unseen: true
  /** The value is an instant, and not before this one. */
  readonly notBefore?: string
}

export type Expected = Cell | Unseen

/** Any value. */
export const ANY: Unseen = { unseen: true }

/** A stamp that the database renewed since the client saw it last. */
export function since(instant: Expected): Unseen {
  if (typeof instant === 'string') return { unseen: true, notBefore: instant }
  return instant ?? ANY
}

export function cellMatches(expected: Expected, actual: Cell): boolean {
  if (expected === null || typeof expected === 'string') return expected === actual
  return expected.notBefore === undefined || (actual !== null && actual >= expected.notBefore)
}
