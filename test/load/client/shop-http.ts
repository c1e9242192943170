import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'undici'

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'

/** What came back: an HTTP answer, or the code of the error that came instead. */
export type Answer =
  | { readonly status: number; readonly body: unknown }
  | { readonly status: 'broken'; readonly error: string }

/** How long an answer may take before the request counts as failed; a held write is answered long before. */
export const ANSWER_TIMEOUT_MS = 30_000

/** A client whose connection broke waits a moment, as a user would, and does not spin. */
const PAUSE_AFTER_BREAK_MS = 25

/** Sends requests as one user of one tenant. */
export class ShopHttp {
  readonly #pool: Pool
  readonly #authorization: string

  constructor(pool: Pool, token: string) {
    this.#pool = pool
    this.#authorization = `Bearer ${token}`
  }

  async send(method: Method, path: string, body?: unknown): Promise<Answer> {
    try {
      const response = await this.#pool.request({
        method,
        path,
        headers: {
          authorization: this.#authorization,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? null : JSON.stringify(body),
      })
      const text = await response.body.text()
      return { status: response.statusCode, body: text === '' ? undefined : JSON.parse(text) }
    } catch (error) {
      await sleep(PAUSE_AFTER_BREAK_MS)
      return { status: 'broken', error: errorCode(error) }
    }
  }
}

const errorCode = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error)
