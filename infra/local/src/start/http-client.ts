import { FreeholdError } from '@freehold/contract'

/** Sends requests to one of the stack's APIs. */
export class HttpClient {
  readonly #url: string
  readonly #token: string

  constructor(url: string, token: string) {
    this.#url = url
    this.#token = token
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

  #send(path: string, init: RequestInit & { headers?: Record<string, string> }): Promise<Response> {
    return fetch(`${this.#url}${path}`, {
      ...init,
      headers: { ...init.headers, authorization: `Bearer ${this.#token}` },
      signal: AbortSignal.timeout(10_000),
    })
  }

  async #body(path: string, response: Response): Promise<unknown> {
    if (response.ok) return await response.json()
    const said = (await response.text()).slice(0, 500)
    throw new FreeholdError('stack_start_failed', `${path} was answered with ${response.status}: ${said}`)
  }
}
