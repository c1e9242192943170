import { createHmac } from 'node:crypto'

/**
 * A JWT (RFC 7519) signed by HMAC-SHA-256.
 *
 * @param lifetimeSeconds after which it is no longer accepted.
 */
export function signToken(
  secret: string,
  claims: Readonly<Record<string, unknown>>,
  lifetimeSeconds: number,
): string {
  const issuedAt = Math.floor(Date.now() / 1000)
  const header = encode({ alg: 'HS256', typ: 'JWT' })
  const payload = encode({ ...claims, iat: issuedAt, exp: issuedAt + lifetimeSeconds })
  const signature = createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url')
  return `${header}.${payload}.${signature}`
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
