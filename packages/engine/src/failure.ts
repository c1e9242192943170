import { type ErrorCode, FreeholdError } from '@freehold/contract'
import pg from 'pg'
import { mayPass } from './move/outcome.ts'

/** Classes of SQLSTATE that are about the server and who connects to it, never about a row. */
const ABOUT_THE_SERVER = /^(28|3D|53|57P)/

/**
 * What may be said of a failure in a log or a timeline. A server's message and detail may quote a tenant's values, so
 * of those about rows only the code and the names are told.
 */
export function describeFailure(error: unknown): string {
  if (error instanceof FreeholdError) return `${error.code}: ${error.message}`
  if (error instanceof pg.DatabaseError) {
    if (error.code !== undefined && ABOUT_THE_SERVER.test(error.code)) {
      return `PostgreSQL answered: ${error.message} (SQLSTATE ${error.code})`
    }
    const names = [error.table, error.constraint].filter((name) => name !== undefined)
    return `PostgreSQL answered SQLSTATE ${error.code ?? 'unknown'}${names.length > 0 ? ` (${names.join(', ')})` : ''}`
  }
  return error instanceof Error ? `${error.name}: ${error.message}` : 'an unknown failure'
}

/** A failure with the code of the registry that fits it best. */
export function classifyFailure(error: unknown) {
  return { code: codeOf(error), message: describeFailure(error), passing: mayPass(error) }
}

function codeOf(error: unknown): ErrorCode {
  if (error instanceof FreeholdError) return error.code
  return mayPass(error) ? 'database_unavailable' : 'internal'
}
