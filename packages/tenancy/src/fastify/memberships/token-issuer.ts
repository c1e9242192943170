import { FreeholdError } from '@freehold/contract'
import type { FastifyInstance } from 'fastify'
import type { Claims } from '../identity/verified-token.ts'
import type { MemberOf } from './membership-directory.ts'

/** As much of the decorator of `@fastify/jwt` as is needed, whatever the product has declared its claims to be. */
interface Signer {
  sign(payload: object, options: { readonly expiresIn: number }): string
}

export interface IssuedToken {
  readonly token: string
  readonly expiresInSeconds: number
}

/** Signs the tokens with which a person acts in a tenant. */
export class TokenIssuer {
  readonly #signer: Signer
  readonly #claim: string
  readonly #ttlSeconds: number

  /** @throws FreeholdError `config_invalid` when `@fastify/jwt` is not there or cannot sign. */
  constructor(app: FastifyInstance, namespace: string | undefined, claim: string, ttlSeconds: number) {
    if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1) {
      throw new FreeholdError('config_invalid', 'ttlSeconds: must be a whole number above 0.')
    }
    this.#signer = signerOf(app, namespace)
    this.#claim = claim
    this.#ttlSeconds = ttlSeconds
  }

  /**
   * A token for a member, good for a short time, and never longer than the token with which it was asked for: who
   * changes from tenant to tenant does not stay signed in by it.
   */
  issue(member: MemberOf, asked: Claims): IssuedToken {
    const { exp } = asked
    const leftSeconds = typeof exp === 'number' ? Math.floor(exp - Date.now() / 1_000) : this.#ttlSeconds
    const expiresInSeconds = Math.min(this.#ttlSeconds, leftSeconds)
    if (expiresInSeconds < 1) throw new FreeholdError('token_expired')
    const claims = { sub: asked.sub, [this.#claim]: member.tenantId, role: member.role }
    return { token: this.#signer.sign(claims, { expiresIn: expiresInSeconds }), expiresInSeconds }
  }
}

function signerOf(app: FastifyInstance, namespace: string | undefined): Signer {
  const refusal = new FreeholdError(
    'config_invalid',
    'memberships: register @fastify/jwt first, with a secret that signs and is no function.',
  )
  if (!app.hasDecorator('jwt')) throw refusal
  const jwt = app.getDecorator<Signer & Record<string, Signer>>('jwt')
  const signer = namespace === undefined ? jwt : jwt[namespace]
  if (!signer || !signs(signer)) throw refusal
  return signer
}

function signs(signer: Signer): boolean {
  try {
    const token: unknown = signer.sign({}, { expiresIn: 1 })
    // With a secret that is a function it is a promise, of which nothing is wanted.
    if (token instanceof Promise) token.catch(() => undefined)
    return typeof token === 'string'
  } catch {
    return false
  }
}
