import type { FastifyJWTOptions } from '@fastify/jwt'
import { FreeholdError } from '@freehold/contract'
import { z } from 'zod'
import { ProviderKeys } from './provider-keys.ts'
import { type IdentityProviderOptions, parseProviderOptions } from './provider-options.ts'

/** What `@fastify/jwt` hands to a function that finds the key, told to decode completely. */
const decodedSchema = z.object({ header: z.object({ alg: z.string(), kid: z.string().optional() }) })

/**
 * Options of `@fastify/jwt` for the tokens of an outside identity provider: signed with RS256 or ES256 by a key out of
 * the provider's JWKS, from this issuer, for this audience, with an expiry, and not expired. Everything else is
 * refused: `alg: none`, and a symmetric signature made with the public key as its secret.
 *
 * Keys are cached. A token that names an unknown key makes them be fetched anew, once a cooldown at most; if it stays
 * unknown the answer is `token_malformed`. When keys are needed and the provider does not answer it is
 * `identity_provider_unavailable`.
 *
 * @throws FreeholdError `config_invalid`
 * @example
 * ```ts
 * await app.register(fastifyJwt, identityProvider({ issuer: 'https://login.example.com/', audience: 'shop' }))
 * await app.register(freehold, { router, resolve: [fromToken({ claim: 'org_id' })] })
 * ```
 */
export function identityProvider(
  options: IdentityProviderOptions,
): Pick<FastifyJWTOptions, 'decode' | 'verify'> & { readonly secret: { readonly public: KeyFinder } } {
  const parsed = parseProviderOptions(options)
  const keys = new ProviderKeys(parsed)
  const accepted = new Set<string>(parsed.algorithms)
  return {
    decode: { complete: true },
    verify: {
      algorithms: parsed.algorithms,
      allowedIss: parsed.issuer,
      allowedAud: parsed.audience,
      requiredClaims: ['iss', 'aud', 'exp'],
    },
    secret: {
      async public(_request, token) {
        const decoded = decodedSchema.safeParse(token)
        // Before any key is asked for: what cannot be good causes no request to the provider.
        if (!decoded.success || !accepted.has(decoded.data.header.alg)) {
          throw new FreeholdError('token_malformed')
        }
        return keys.pem(decoded.data.header)
      },
    },
  }
}

type KeyFinder = (request: unknown, token: unknown) => Promise<string>
