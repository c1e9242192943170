import {
  type createTenantSchema,
  type Move,
  type MoveDetail,
  moveDetailSchema,
  moveSchema,
  problemSchema,
  type startMoveSchema,
  type Tenant,
  tenantSchema,
} from '@freehold/contract'
import type { z } from 'zod'

const PATIENCE_MS = 15_000

/** Asks the control API for things, as an operator's program would. What it refuses is an error that says why. */
export class ControlClient {
  readonly #url: string
  readonly #token: string

  constructor(url: string, token: string) {
    this.#url = url
    this.#token = token
  }

  createTenant(body: z.input<typeof createTenantSchema>): Promise<Tenant> {
    return this.#send('POST', '/v1/tenants', tenantSchema, body)
  }

  tenant(idOrSlug: string): Promise<Tenant> {
    return this.#send('GET', `/v1/tenants/${idOrSlug}`, tenantSchema)
  }

  startMove(body: z.input<typeof startMoveSchema>): Promise<Move> {
    return this.#send('POST', '/v1/moves', moveSchema, body)
  }

  move(id: string): Promise<MoveDetail> {
    return this.#send('GET', `/v1/moves/${id}`, moveDetailSchema)
  }

  cancelMove(id: string): Promise<Move> {
    return this.#send('POST', `/v1/moves/${id}/cancel`, moveSchema)
  }

  async #send<T>(method: string, path: string, schema: z.ZodType<T>, body?: unknown): Promise<T> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
    const answer: unknown = await response.json()
    if (response.ok) return schema.parse(answer)
    const { code, detail, next } = problemSchema.parse(answer)
    throw new Error(`${method} ${path} was refused (${code}): ${detail} ${next}`)
  }
}
