import { type ErrorCode, errorRegistry } from './error-registry.ts'
import type { Problem, ProblemIssue } from './problem.ts'

export interface FreeholdErrorOptions {
  /** The error that led to this one. Logged, never sent to a client. */
  readonly cause?: unknown
  /** Public facts about the occurrence: ids and names, never secrets and never tenants' rows. */
  readonly details?: Readonly<Record<string, string | number>>
  /** After how many seconds a retry makes sense; becomes the Retry-After header. */
  readonly retryAfterSeconds?: number
  /** The offending fields of a refused input. */
  readonly issues?: readonly ProblemIssue[]
}

/**
 * The one error class of Freehold: a stable code from the registry and a sentence about this occurrence.
 *
 * @example
 * ```ts
 * throw new FreeholdError('tenant_not_found', `No tenant has the slug ${slug}.`, { details: { slug } })
 * ```
 */
export class FreeholdError extends Error {
  override readonly name = 'FreeholdError'
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, string | number>>
  readonly retryAfterSeconds: number | undefined
  readonly issues: readonly ProblemIssue[] | undefined

  constructor(code: ErrorCode, message?: string, options: FreeholdErrorOptions = {}) {
    super(message ?? errorRegistry[code].title, options.cause === undefined ? {} : { cause: options.cause })
    this.code = code
    this.details = options.details ?? {}
    this.retryAfterSeconds = options.retryAfterSeconds
    this.issues = options.issues
  }

  /** HTTP status of the code. */
  get status(): number {
    return errorRegistry[this.code].status
  }

  /** Alias of {@link status} under the name that Fastify reads. */
  get statusCode(): number {
    return this.status
  }

  /** The RFC 9457 problem document of this occurrence. */
  toProblem(instance?: string): Problem {
    const { status, title, next } = errorRegistry[this.code]
    return {
      type: `urn:freehold:error:${this.code}`,
      title,
      status,
      code: this.code,
      detail: this.message,
      next,
      ...(instance === undefined ? {} : { instance }),
      ...(Object.keys(this.details).length === 0 ? {} : { details: this.details }),
      ...(this.issues === undefined ? {} : { issues: [...this.issues] }),
    }
  }
}

/** Narrows an unknown error to a {@link FreeholdError} of one of the given codes (any code when none is given). */
export function isFreeholdError(error: unknown, ...codes: ErrorCode[]): error is FreeholdError {
  return error instanceof FreeholdError && (codes.length === 0 || codes.includes(error.code))
}
