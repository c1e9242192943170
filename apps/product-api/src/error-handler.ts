import { FreeholdError, isFreeholdError, PROBLEM_CONTENT_TYPE } from '@freehold/contract'
import { hasSqlState, SQLSTATE, violatedConstraint } from '@freehold/postgres'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import pg from 'pg'
import { codeOfConstraint, ShopError } from './problems.ts'

/** Answers every error as a problem document; one that nobody expected is logged, and its text stays inside. */
export function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = toKnownError(error, request)
  if (known instanceof ShopError) {
    return reply.code(known.statusCode).type(PROBLEM_CONTENT_TYPE).send(known.toProblem())
  }
  if (known.status >= 500) request.log.error({ err: error }, known.code)
  if (known.retryAfterSeconds !== undefined) reply.header('retry-after', Math.ceil(known.retryAfterSeconds))
  return reply.code(known.status).type(PROBLEM_CONTENT_TYPE).send(known.toProblem(request.id))
}

function toKnownError(error: FastifyError, request: FastifyRequest): ShopError | FreeholdError {
  if (error instanceof ShopError || isFreeholdError(error)) return error
  const constraint = violatedConstraint(error)
  if (constraint !== undefined) {
    // The one foreign key that a client can violate by inserting; a deletion that violates it is `in_use`.
    const missing = constraint === 'order_customer_exists' && request.method === 'POST'
    const code = missing ? 'customer_unknown' : codeOfConstraint[constraint]
    if (code !== undefined) return new ShopError(code)
    if (hasSqlState(error, SQLSTATE.foreignKeyViolation)) return new ShopError('in_use')
  }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const issues = error.validation.map((issue) => ({
      path: `${error.validationContext}${issue.instancePath}`.replace(/\/$/, ''),
      message: issue.message ?? '',
    }))
    return new FreeholdError('invalid_request', undefined, { issues })
  }
  if (isRefusedInput(error)) return new FreeholdError('invalid_request', undefined, { cause: error })
  return new FreeholdError('internal', undefined, { cause: error })
}

/** Fastify's own refusals (bad JSON, body too large), and Postgres' of values that no column can hold (class 22). */
function isRefusedInput(error: FastifyError): boolean {
  if (error instanceof pg.DatabaseError) return error.code?.startsWith('22') === true
  return error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500
}
