import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { FreeholdError, problemSchema } from '@freehold/contract'
import type { z } from 'zod'
import { ProblemError } from './problem-error.ts'
import type { Connection } from './settings.ts'

const RETRY_MS = 300

/** Speaks to the control API; every answer is parsed. */
export interface ApiClient {
  /** @throws ProblemError what the API answered; FreeholdError `api_unreachable`, `answer_not_understood`. */
  get<T extends z.ZodType>(
    path: string,
    schema: T,
    query?: Readonly<Record<string, unknown>>,
  ): Promise<z.output<T>>
  /**
   * Sends a request that changes something. It carries an Idempotency-Key, and is sent once more when the connection
   * broke, so that it takes effect once.
   */
  post<T extends z.ZodType>(path: string, schema: T, body?: object): Promise<z.output<T>>
  /** Sets something to a value. */
  patch<T extends z.ZodType>(path: string, schema: T, body: object): Promise<z.output<T>>
  /** Opens a stream of Server-Sent Events. */
  open(path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Response>
}

export function createApiClient({ url, token }: Connection): ApiClient {
  async function send(path: string, init: RequestInit): Promise<Response> {
    const response = await reach(path, init)
    if (response.ok) return response
    throw await refusal(response, path)
  }

  async function reach(path: string, init: RequestInit): Promise<Response> {
    const headers = { ...init.headers, authorization: `Bearer ${token}` }
    try {
      return await fetch(`${url}${path}`, { ...init, headers })
    } catch (cause) {
      throw new FreeholdError('api_unreachable', `Nothing answers at ${url}.`, { cause, details: { url } })
    }
  }

  return {
    async get(path, schema, query = {}) {
      return parse(await send(`${path}${search(query)}`, {}), path, schema)
    },
    async post(path, schema, body) {
      const content = body === undefined ? {} : { 'content-type': 'application/json' }
      const init = {
        method: 'POST',
        headers: { ...content, 'idempotency-key': randomUUID() },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }
      const response = await send(path, init).catch(async (error: unknown) => {
        if (!(error instanceof FreeholdError)) throw error
        await sleep(RETRY_MS)
        return send(path, init)
      })
      return parse(response, path, schema)
    },
    async patch(path, schema, body) {
      const headers = { 'content-type': 'application/json' }
      return parse(await send(path, { method: 'PATCH', headers, body: JSON.stringify(body) }), path, schema)
    },
    open: (path, headers, signal) => send(path, { headers, signal }),
  }
}

/** `?limit=50`; what has no value is left out. */
function search(query: Readonly<Record<string, unknown>>): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parameters.set(name, String(value))
  }
  return parameters.size === 0 ? '' : `?${parameters}`
}

async function parse<T extends z.ZodType>(response: Response, path: string, schema: T): Promise<z.output<T>> {
  const parsed = schema.safeParse(await response.json().catch(() => undefined))
  if (parsed.success) return parsed.data
  throw notUnderstood(path, response)
}

async function refusal(response: Response, path: string): Promise<Error> {
  const problem = problemSchema.safeParse(await response.json().catch(() => undefined))
  return problem.success ? new ProblemError(problem.data) : notUnderstood(path, response)
}

function notUnderstood(path: string, response: Response): FreeholdError {
  return new FreeholdError(
    'answer_not_understood',
    `${path} answered HTTP ${response.status} in an unknown form.`,
  )
}
