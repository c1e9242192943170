import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

/** The SQLSTATEs that Freehold acts on. FH: raised by the entry functions of a data database. */
export const SQLSTATE = {
  notResident: 'FH001',
  held: 'FH002',
  uniqueViolation: '23505',
  foreignKeyViolation: '23503',
  /** From PostgreSQL 18 on; before that it was a violation of the foreign key. */
  restrictViolation: '23001',
  checkViolation: '23514',
  exclusionViolation: '23P01',
  readOnlyTransaction: '25006',
  serializationFailure: '40001',
  deadlockDetected: '40P01',
  lockNotAvailable: '55P03',
  objectInUse: '55006',
  objectNotInPrerequisiteState: '55000',
  queryCanceled: '57014',
  adminShutdown: '57P01',
  crashShutdown: '57P02',
  cannotConnectNow: '57P03',
  undefinedObject: '42704',
  undefinedTable: '42P01',
  duplicateDatabase: '42P04',
  duplicateObject: '42710',
  invalidCatalogName: '3D000',
  invalidPassword: '28P01',
  invalidAuthorization: '28000',
  insufficientPrivilege: '42501',
  diskFull: '53100',
} as const

export type SqlState = (typeof SQLSTATE)[keyof typeof SQLSTATE]

/** Whether the server answered with one of these states. */
export function hasSqlState(error: unknown, ...states: SqlState[]): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && (states as (string | undefined)[]).includes(error.code)
}

/** The constraint that refused a statement, if one did. */
export function violatedConstraint(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError && error.code?.startsWith('23') ? error.constraint : undefined
}

/**
 * Whether an error means that the server could not be reached or went away, as opposed to an answer of it. A
 * statement that was under way may have taken effect all the same.
 */
export function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  if (error instanceof pg.DatabaseError) return SERVER_GONE.has(code) || code.startsWith('08')
  return SOCKET_ERRORS.has(code) || CONNECTION_MESSAGES.test(error.message)
}

/** Whether the server does not let us in as we are: the password was changed, or the role's rights were. */
export function isRefusedConnection(error: unknown): boolean {
  return hasSqlState(error, SQLSTATE.invalidPassword, SQLSTATE.invalidAuthorization)
}

const SERVER_GONE = new Set<string>([
  SQLSTATE.adminShutdown,
  SQLSTATE.crashShutdown,
  SQLSTATE.cannotConnectNow,
])

const SOCKET_ERRORS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
])

/** `pg` reports a lost connection, and one that was not to be had in time, by message only. */
const CONNECTION_MESSAGES =
  /Connection terminated|^timeout expired|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|Query read timeout/

export interface RetryOptions {
  /** Decides whether an error is worth another attempt. */
  readonly when: (error: unknown) => boolean
  readonly attempts: number
  /** Wait before the second attempt, in ms; doubles with every further one, with jitter. */
  readonly firstDelayMs: number
  readonly signal?: AbortSignal
}

/** Runs `work`, which must be safe to run twice, again after errors that a retry may cure. */
export async function retry<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt >= options.attempts || !options.when(error)) throw error
      const delay = options.firstDelayMs * 2 ** (attempt - 1) * (0.5 + Math.random())
      await sleep(delay, undefined, options.signal ? { signal: options.signal } : {})
    }
  }
}
