import { problemSchema } from '@freehold/contract'
import type { z } from 'zod'
import { endSession, sessionToken } from '../session/session.ts'
import { localProblem, ProblemError } from './problem-error.ts'

export interface RequestOptions {
  readonly method?: 'GET' | 'POST'
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
  /** Used instead of the session's token, to try a token before a session is made of it. */
  readonly token?: string
}

/**
 * Calls the control API and parses its answer.
 *
 * @throws ProblemError with the server's problem, `api_unreachable` or `answer_not_understood`. A refused
 * token of the session ends the session as well.
 */
export async function request<T>(
  path: string,
  schema: z.ZodType<T>,
  options: RequestOptions = {},
): Promise<T> {
  const response = await send(path, options)
  const parsed = schema.safeParse(await readJson(response))
  if (parsed.success) return parsed.data
  throw new ProblemError(
    localProblem('answer_not_understood', `The answer to ${path} has an unexpected shape.`),
    parsed.error,
  )
}

/** As {@link request}, but leaves the body of a successful answer unread. */
export async function send(path: string, options: RequestOptions): Promise<Response> {
  const response = await fetchOrProblem(path, options)
  if (response.ok) return response
  const problem = await readProblem(response)
  if (problem.status === 401 && options.token === undefined) endSession(problem)
  throw new ProblemError(problem)
}

async function fetchOrProblem(path: string, options: RequestOptions): Promise<Response> {
  try {
    return await fetch(path, {
      method: options.method ?? 'GET',
      headers: requestHeaders(options),
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal ?? null,
      cache: 'no-store',
    })
  } catch (error) {
    if (options.signal?.aborted) throw error
    throw new ProblemError(
      localProblem('api_unreachable', 'The browser could not reach the control API.'),
      error,
    )
  }
}

function requestHeaders(options: RequestOptions): Headers {
  const headers = new Headers(options.headers)
  const token = options.token ?? sessionToken()
  if (token !== null) headers.set('authorization', `Bearer ${token}`)
  if (options.body !== undefined) headers.set('content-type', 'application/json')
  return headers
}

async function readProblem(response: Response) {
  const parsed = problemSchema.safeParse(await readJson(response))
  if (parsed.success) return parsed.data
  // A proxy in between answers for itself; what it says of the service's reachability still holds.
  const code = [502, 503, 504].includes(response.status) ? 'api_unreachable' : 'answer_not_understood'
  return localProblem(code, `The answer was HTTP ${response.status} without a problem document.`)
}

async function readJson(response: Response): Promise<unknown> {
  try {
    return await response.json()
  } catch {
    return undefined
  }
}
