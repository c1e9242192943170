import { type FreeholdError, isFreeholdError, PROBLEM_CONTENT_TYPE } from '@freehold/contract'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Answers an error as an RFC 9457 problem document, with Retry-After where a retry makes sense. */
function replyWithProblem(error: FreeholdError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error.status >= 500) request.log.error({ err: error }, error.code)
  if (error.status === 401) reply.header('www-authenticate', 'Bearer')
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', Math.ceil(error.retryAfterSeconds))
  return reply.code(error.status).type(PROBLEM_CONTENT_TYPE).send(error.toProblem(request.id))
}

/** The error handler of a route: what is not of Freehold goes on to the product's own. */
export function handleError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (isFreeholdError(error)) return replyWithProblem(error, request, reply)
  throw error
}
