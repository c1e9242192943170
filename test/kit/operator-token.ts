import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Stack } from '@freehold/local/stack'
import { signJwt } from './control-api.ts'

const HS256 = { alg: 'HS256', typ: 'JWT' }
const LIFETIME_S = 3_600

/** Makes tokens of the operators of a stack, also such as the stack itself would never issue. */
export async function operatorTokens(stack: Stack) {
  const secret = await readFile(join(stack.directory, 'secrets', 'operator-jwt'), 'utf8')
  const expiry = Math.floor(Date.now() / 1000) + LIFETIME_S
  const operator = { sub: 'operator', role: 'operator', exp: expiry }
  return {
    operator: signJwt(HS256, operator, secret),
    viewer: signJwt(HS256, { ...operator, sub: 'vera', role: 'viewer' }, secret),
    /** Was good until a moment ago. */
    expired: signJwt(HS256, { ...operator, exp: expiry - LIFETIME_S - 1 }, secret),
    /** Looks right, and is signed by somebody else. */
    forged: signJwt(HS256, operator, `${secret}?`),
    /** Claims that it needs no signature, and has none. */
    unsigned: signJwt({ alg: 'none', typ: 'JWT' }, operator).replace(/[^.]+$/, ''),
  }
}
