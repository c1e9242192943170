import { parseEnvironment } from '@freehold/contract'
import { parseDatabaseUrl } from '@freehold/postgres'
import { z } from 'zod'

const databaseUrl = z.string().transform((url, context) => {
  try {
    return parseDatabaseUrl(url)
  } catch {
    context.addIssue({ code: 'custom', message: 'must be postgres://user:password@host:port/database' })
    return z.NEVER
  }
})

const secret = z.string().min(32, 'must have at least 32 characters')

const environmentSchema = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65535).default(3002).describe('0: any free port'),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  FREEHOLD_CATALOG_URL: databaseUrl.describe('The control database, as freehold_reader'),
  FREEHOLD_ENTRY_SECRET: secret,
  PRODUCT_JWT_SECRET: secret.describe('Signs the tokens of the product’s users (HS256)'),
})

export type ProductApiConfig = Readonly<z.infer<typeof environmentSchema>>

/**
 * Reads the configuration of the product API.
 *
 * @throws FreeholdError `config_invalid`, naming the variables.
 */
export const readConfig = (
  environment: Readonly<Record<string, string | undefined>> = process.env,
): ProductApiConfig => parseEnvironment(environmentSchema, environment)
