import { fileURLToPath } from 'node:url'
import { MAX_ROLLBACK_WINDOW_SECONDS, parseEnvironment } from '@freehold/contract'
import { parseDatabaseUrl } from '@freehold/postgres'
import { z } from 'zod'

const postgresUrl = z.string().refine(isDatabaseUrl, 'must be postgres://user:password@host:port/database')

const secret = z.string().min(32, 'must have at least 32 characters')

const environmentSchema = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65535).default(3000).describe('0: any free port'),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  FREEHOLD_CATALOG_URL: postgresUrl.describe('The control database, as freehold_control'),
  FREEHOLD_OPERATOR_SECRET: secret.describe('Signs the tokens of operators (HS256)'),
  FREEHOLD_ENTRY_SECRET: secret.describe('What entry keys are derived from; one in the whole deployment'),
  FREEHOLD_ROLLBACK_WINDOW_SECONDS: z.coerce
    .number()
    .int()
    .min(0)
    .max(MAX_ROLLBACK_WINDOW_SECONDS)
    .default(0)
    .describe(
      'How long a move can be rolled back after its switch, unless it was started with another window',
    ),
  REDIS_URL: z.url({ protocol: /^rediss?$/, error: 'must be redis://host:port' }).optional(),
  FREEHOLD_QUEUE_DATABASE_URL: postgresUrl.optional().describe('The queue, when there is no REDIS_URL'),
  FREEHOLD_CONSOLE_FOLDER: z
    .string()
    .default(fileURLToPath(new URL('../../console/dist', import.meta.url)))
    .describe('What `vite build` has made of the console'),
})

export type ControlApiConfig = ReturnType<typeof readConfig>

/**
 * Reads the configuration of the control API.
 *
 * @throws FreeholdError `config_invalid`, naming the variables.
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>) {
  const withQueue = environmentSchema.refine(
    (values) => values.REDIS_URL !== undefined || values.FREEHOLD_QUEUE_DATABASE_URL !== undefined,
    { path: ['FREEHOLD_QUEUE_DATABASE_URL'], message: 'set it, or REDIS_URL' },
  )
  return parseEnvironment(withQueue, environment)
}

function isDatabaseUrl(url: string): boolean {
  try {
    return parseDatabaseUrl(url).database !== ''
  } catch {
    return false
  }
}
