import { createHmac } from 'node:crypto'
import type { DatabaseAddress } from '@freehold/postgres'
import { buildProductApi, readConfig } from '@freehold/product-api'
import { TEST_ENTRY_SECRET } from './moving-ground.ts'

const JWT_SECRET = 'signs the tokens of the product in tests'

/** A running product API. */
export interface TestProductApi {
  readonly baseUrl: string
  close(): Promise<void>
}

/** The environment of a product API, also for one in a process of its own. */
export function productApiEnvironment(catalogReader: DatabaseAddress): Record<string, string> {
  const { host, port, database, user, password } = catalogReader
  return {
    PORT: '0',
    LOG_LEVEL: 'warn',
    FREEHOLD_CATALOG_URL: `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}?sslmode=disable`,
    FREEHOLD_ENTRY_SECRET: TEST_ENTRY_SECRET,
    PRODUCT_JWT_SECRET: JWT_SECRET,
  }
}

/** Starts the product API in this process, on a port of its own. */
export async function startProductApi(catalogReader: DatabaseAddress): Promise<TestProductApi> {
  const api = await buildProductApi(readConfig(productApiEnvironment(catalogReader)))
  const baseUrl = await api.listen({ host: '127.0.0.1', port: 0 })
  return { baseUrl, close: () => api.close() }
}

/** A token of the product's, as its sign-in would issue it; one that `never` expires, it would not. */
export function productToken(
  claims: { readonly tenant?: string; readonly expiresInSeconds?: number | 'never' },
  secret = JWT_SECRET,
): string {
  const { expiresInSeconds = 3_600, ...rest } = claims
  const expires = expiresInSeconds === 'never' ? undefined : Math.floor(Date.now() / 1000) + expiresInSeconds
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ ...rest, exp: expires })}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url')
