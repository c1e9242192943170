import { KeyObject, type webcrypto } from 'node:crypto'
import { FreeholdError } from '@freehold/contract'
import { createRemoteJWKSet, customFetch, errors } from 'jose'
import { type ParsedProviderOptions, parseDiscovery } from './provider-options.ts'

/** How long a provider that failed is left alone. */
const REST_MS = 1_000
const MIN_RSA_BITS = 2048

/** What of a token's header chooses the key. */
export interface KeyChoice {
  readonly alg: string
  readonly kid?: string | undefined
}

type KeySet = ReturnType<typeof createRemoteJWKSet>

/**
 * The public keys of an identity provider: fetched when first needed, kept for a while, and fetched again, once in a
 * while at most, when a token names a key that is not among them, as after a rotation.
 */
export class ProviderKeys {
  readonly #options: ParsedProviderOptions
  readonly #pems = new WeakMap<webcrypto.CryptoKey, string>()
  #keySet: Promise<KeySet> | undefined
  #restUntil = 0

  constructor(options: ParsedProviderOptions) {
    this.#options = options
  }

  /**
   * @returns the key as PEM.
   * @throws FreeholdError `token_malformed` when the provider has no such key, `identity_provider_unavailable`
   */
  async pem({ alg, kid }: KeyChoice): Promise<string> {
    try {
      const keySet = await this.#open()
      return this.#toPem(await keySet(kid === undefined ? { alg } : { alg, kid }))
    } catch (cause) {
      if (isOfToken(cause)) throw new FreeholdError('token_malformed', undefined, { cause })
      throw new FreeholdError('identity_provider_unavailable', undefined, { cause, retryAfterSeconds: 1 })
    }
  }

  #open(): Promise<KeySet> {
    const opening = this.#keySet ?? this.#openKeySet()
    this.#keySet = opening
    opening.catch(() => {
      if (this.#keySet === opening) this.#keySet = undefined
    })
    return opening
  }

  async #openKeySet(): Promise<KeySet> {
    const { jwksUri, maxAgeMs, cooldownMs, timeoutMs } = this.#options
    return createRemoteJWKSet(jwksUri === undefined ? await this.#discover() : new URL(jwksUri), {
      cacheMaxAge: maxAgeMs,
      cooldownDuration: cooldownMs,
      timeoutDuration: timeoutMs,
      [customFetch]: (url, init) => this.#fetch(url, init),
    })
  }

  async #discover(): Promise<URL> {
    const { issuer, timeoutMs } = this.#options
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const answer = await this.#fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(timeoutMs) })
    return parseDiscovery(issuer, await answer.json())
  }

  /** Fetches, unless that has just failed: a flood of tokens must not become a flood of requests to the provider. */
  async #fetch(url: string, init: RequestInit): Promise<Response> {
    if (Date.now() < this.#restUntil) throw new Error('The provider has just failed and is left alone.')
    try {
      const answer = await fetch(url, init)
      if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}.`)
      return answer
    } catch (error) {
      this.#restUntil = Date.now() + REST_MS
      throw error
    }
  }

  #toPem(key: webcrypto.CryptoKey): string {
    const known = this.#pems.get(key)
    if (known !== undefined) return known
    const object = KeyObject.from(key)
    const bits = object.asymmetricKeyDetails?.modulusLength
    if (bits !== undefined && bits < MIN_RSA_BITS)
      throw new Error(`The provider's key has only ${bits} bits.`)
    const pem = object.export({ type: 'spki', format: 'pem' }).toString()
    this.#pems.set(key, pem)
    return pem
  }
}

/** Whether it is the token that is wrong, and not the provider. */
function isOfToken(error: unknown): boolean {
  return (
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys ||
    error instanceof errors.JOSENotSupported
  )
}
