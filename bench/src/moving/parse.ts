import { parseArgs } from 'node:util'
import { z } from 'zod'
import { BadArguments } from '../bad-arguments.ts'

const string = { type: 'string' } as const
const boolean = { type: 'boolean' } as const

/** A number on the command line. */
export const count = (least: number, most: number) =>
  z.coerce.number<string>().int().min(least).max(most).optional()

/**
 * Reads `--json`, `--quick` and options that have a value.
 *
 * @throws BadArguments that says what is wrong and what would be right.
 */
export function parseOptions<T extends z.ZodRawShape>(args: readonly string[], shape: T) {
  const schema = z.object({ json: z.boolean().default(false), quick: z.boolean().default(false), ...shape })
  const valued = Object.fromEntries(Object.keys(shape).map((name) => [name, string]))
  let values: unknown
  try {
    values = parseArgs({ args: [...args], options: { json: boolean, quick: boolean, ...valued } }).values
  } catch (error) {
    throw new BadArguments(error instanceof Error ? error.message : String(error))
  }
  const parsed = schema.safeParse(values)
  if (parsed.success) return parsed.data
  throw new BadArguments(
    parsed.error.issues.map(({ path, message }) => `--${path.join('.')}: ${message}`).join('; '),
  )
}
