import { type ErrorCode, FreeholdError } from '@freehold/contract'
import { isConnectionError } from '@freehold/postgres'
import pg from 'pg'

/**
 * What may be said of a failure in a log or a timeline. A server's message and detail may quote a tenant's values, so
 * of them only the code and the names are told.
 */
export function describeFailure(error: unknown): string {
  if (error instanceof FreeholdError) return `${error.code}: ${error.message}`
  if (error instanceof pg.DatabaseError) {
    const names = [error.table, error.constraint].filter((name) => name !== undefined)
    return `PostgreSQL answered SQLSTATE ${error.code ?? 'unknown'}${names.length > 0 ? ` (${names.join(', ')})` : ''}`
  }
  return error instanceof Error ? `${error.name}: ${error.message}` : 'an unknown failure'
}

/** A failure with the code of the registry that fits it best. */
export function classifyFailure(error: unknown): { readonly code: ErrorCode; readonly message: string } {
  return { code: codeOf(error), message: describeFailure(error) }
}

function codeOf(error: unknown): ErrorCode {
  if (error instanceof FreeholdError) return error.code
  return isConnectionError(error) ? 'database_unavailable' : 'internal'
}
