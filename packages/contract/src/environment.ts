import type { z } from 'zod'
import { FreeholdError } from './errors.ts'

/**
 * Reads configuration from environment variables, once, at the start of a process.
 *
 * @returns the parsed values, frozen.
 * @throws FreeholdError `config_invalid`, naming every wrong variable and what it must be; values are not
 * repeated, because a variable may hold a secret.
 * @example
 * ```ts
 * const config = parseEnvironment(z.object({ PORT: z.coerce.number().int().default(3000) }), process.env)
 * ```
 */
export function parseEnvironment<T extends z.ZodObject>(
  schema: T,
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<z.infer<T>> {
  // A variable set to nothing counts as not set: that is what `FOO= npm start` and most compose files mean.
  const present = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  const parsed = schema.safeParse(present)
  if (parsed.success) return Object.freeze(parsed.data)
  const issues = parsed.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }))
  throw new FreeholdError(
    'config_invalid',
    `Wrong environment variables: ${issues.map((issue) => `${issue.path}: ${issue.message}`).join('; ')}.`,
    { issues },
  )
}
