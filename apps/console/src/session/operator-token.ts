import type { Problem } from '@freehold/contract'
import { z } from 'zod'
import { localProblem } from '../api/problem-error.ts'

const claimsSchema = z.object({ exp: z.number().optional() })

export type TokenInspection =
  | { readonly token: string; readonly problem?: never }
  | { readonly token?: never; readonly problem: Problem }

/**
 * Looks at a pasted token before it is sent anywhere: white space and a leading `Bearer` are forgiven, what
 * cannot be a token or has expired is named as such. Whether the signature holds only the server knows.
 *
 * @param now milliseconds since 1970.
 */
export function inspectToken(pasted: string, now: number): TokenInspection {
  const token = pasted.replace(/^\s*bearer\s+/i, '').replace(/\s+/g, '')
  const claims = readClaims(token)
  if (claims === undefined) {
    return {
      problem: localProblem(
        'token_malformed',
        'What was pasted is not a token: three parts with dots between.',
      ),
    }
  }
  if (claims.exp !== undefined && claims.exp * 1000 <= now) {
    const at = new Date(claims.exp * 1000).toISOString()
    return { problem: localProblem('token_expired', `The token was valid until ${at}.`) }
  }
  return { token }
}

function readClaims(token: string): z.infer<typeof claimsSchema> | undefined {
  const [, payload, signature, ...more] = token.split('.')
  if (payload === undefined || !signature || more.length > 0) return undefined
  try {
    const text = atob(payload.replaceAll('-', '+').replaceAll('_', '/'))
    return claimsSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
