import { FreeholdError } from '@freehold/contract'
import { z } from 'zod'

const SIGNATURES = ['RS256', 'ES256'] as const

/** How the tokens of an outside identity provider are recognised. */
export interface IdentityProviderOptions {
  /** The claim `iss`, to the letter: `https://login.example.com/`. */
  readonly issuer: string
  /** What the claim `aud` must hold, or one of these. */
  readonly audience: string | readonly string[]
  /** Where the keys are; found through `/.well-known/openid-configuration` of the issuer unless set. */
  readonly jwksUri?: string
  /** The signatures that are accepted; both unless set. Never a symmetric one: the keys are public. */
  readonly algorithms?: readonly (typeof SIGNATURES)[number][]
  /** How long keys are used before they are fetched again; 600,000 unless set. A withdrawn key is gone after that. */
  readonly maxAgeMs?: number
  /** How often at most an unknown key id makes the keys be fetched again; 30,000 unless set. */
  readonly cooldownMs?: number
  /** How long the provider may take to answer; 5,000 unless set. */
  readonly timeoutMs?: number
}

const endpoint = z.url({ protocol: /^https?$/ }).refine(isSafe, 'must be an https: URL')

const optionsSchema = z.strictObject({
  issuer: endpoint,
  audience: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
  jwksUri: endpoint.optional(),
  algorithms: z
    .array(z.enum(SIGNATURES))
    .min(1)
    .default([...SIGNATURES]),
  maxAgeMs: z.int().positive().default(600_000),
  cooldownMs: z.int().positive().default(30_000),
  timeoutMs: z.int().positive().default(5_000),
})

export type ParsedProviderOptions = z.infer<typeof optionsSchema>

/** @throws FreeholdError `config_invalid`, naming the options. */
export function parseProviderOptions(options: IdentityProviderOptions): ParsedProviderOptions {
  const parsed = optionsSchema.safeParse(options)
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new FreeholdError('config_invalid', `identityProvider: ${issues.join('; ')}`)
}

/** Where the provider says that its keys are. @throws ZodError */
export function parseDiscovery(issuer: string, document: unknown): URL {
  const schema = z.object({ issuer: z.literal(issuer), jwks_uri: endpoint })
  return new URL(schema.parse(document).jwks_uri)
}

/** Keys that come over a wire that others can write to are anybody's. */
function isSafe(url: string): boolean {
  const parsed = URL.parse(url)
  return parsed?.protocol === 'https:' || ['127.0.0.1', '[::1]', 'localhost'].includes(parsed?.hostname ?? '')
}
