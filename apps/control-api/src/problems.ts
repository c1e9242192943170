import type { Socket } from 'node:net'
import { FreeholdError, isFreeholdError, PROBLEM_CONTENT_TYPE } from '@freehold/contract'
import { describeFailure } from '@freehold/engine'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'

/** Answers every error as a problem document. One that nobody expected is logged, and its text stays inside. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = toFreeholdError(error)
  if (known.status >= 500) request.log.error(describeError(error), known.code)
  if (known.status === 401) reply.header('www-authenticate', 'Bearer')
  if (known.retryAfterSeconds !== undefined) reply.header('retry-after', Math.ceil(known.retryAfterSeconds))
  return reply
    .code(known.status)
    .type(PROBLEM_CONTENT_TYPE)
    .serializer(JSON.stringify)
    .send(known.toProblem(request.id))
}

/** Answers what is not HTTP, or too much of it, before there is a request. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const problem = new FreeholdError('invalid_request', 'The request is not valid HTTP.').toProblem()
  const body = JSON.stringify(problem)
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: ${PROBLEM_CONTENT_TYPE}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

/** An error for the log: what failed and where, without what a database quotes of its rows. */
function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { failure: describeFailure(error) }
  const at = error.stack?.split('\n').filter((line) => line.startsWith('    at '))
  const cause = error.cause === undefined ? {} : { cause: describeError(error.cause) }
  return { failure: describeFailure(error), at, ...cause }
}

function toFreeholdError(error: unknown): FreeholdError {
  if (isFreeholdError(error)) return error
  if (hasZodFastifySchemaValidationErrors(error)) {
    const issues = error.validation.map((issue) => ({
      path: `${error.validationContext}${issue.instancePath}`,
      message: issue.message ?? '',
    }))
    return new FreeholdError('invalid_request', undefined, { issues })
  }
  const refusal = fastifyRefusals[codeOf(error)]
  if (refusal === undefined) return new FreeholdError('internal', undefined, { cause: error })
  return new FreeholdError('invalid_request', undefined, { cause: error, issues: [refusal] })
}

/** What Fastify refuses before a route sees it. */
const fastifyRefusals: Readonly<Record<string, { path: string; message: string }>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: { path: 'body', message: 'is not valid JSON' },
  FST_ERR_CTP_EMPTY_JSON_BODY: {
    path: 'body',
    message: 'is empty, but its content type is application/json',
  },
  FST_ERR_CTP_BODY_TOO_LARGE: { path: 'body', message: 'is too large' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { path: 'body', message: 'is not as long as Content-Length says' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { path: 'headers/content-type', message: 'must be application/json' },
  FST_ERR_BAD_URL: { path: 'url', message: 'is not a valid URL' },
  FST_ERR_MAX_PARAM_LENGTH: { path: 'url', message: 'has a segment that is too long' },
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String((error as FastifyError).code) : ''
}
