import { FreeholdError } from '@freehold/contract'
import { SLOW_MACHINE } from '../start-failures.ts'

const ANSWER_PATIENCE_MS = 60_000

/** Sends requests to one of the stack's APIs. */
export class HttpClient {
  readonly #url: string
  readonly #token: string
  readonly #patienceMs: number

  constructor(url: string, token: string, patienceMs = ANSWER_PATIENCE_MS) {
    this.#url = url
    this.#token = token
    this.#patienceMs = patienceMs
  }

  /** The answer to a GET; undefined when there is no such thing. */
  async get(path: string): Promise<unknown> {
    const response = await this.#send(path, {})
    if (response.status === 404) return undefined
    return await this.#body(path, response)
  }

  async post(path: string, body: unknown): Promise<unknown> {
    const response = await this.#send(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return await this.#body(path, response)
  }

  async #send(path: string, init: RequestInit & { headers?: Record<string, string> }): Promise<Response> {
    const url = `${this.#url}${path}`
    const headers = { ...init.headers, authorization: `Bearer ${this.#token}` }
    try {
      return await fetch(url, { ...init, headers, signal: AbortSignal.timeout(this.#patienceMs) })
    } catch (cause) {
      if (!(cause instanceof Error && cause.name === 'TimeoutError')) throw cause
      const message = `${url} was waited for ${this.#patienceMs / 1_000} s and has not answered. ${SLOW_MACHINE}`
      throw new FreeholdError('stack_start_failed', message, { cause })
    }
  }

  async #body(path: string, response: Response): Promise<unknown> {
    if (response.ok) return await response.json()
    const said = (await response.text()).slice(0, 500)
    throw new FreeholdError('stack_start_failed', `${path} was answered with ${response.status}: ${said}`)
  }
}
