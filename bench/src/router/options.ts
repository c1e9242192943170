import { parseArgs } from 'node:util'
import { z } from 'zod'
import { BadArguments } from '../bad-arguments.ts'
import { systemNames } from '../systems/system.ts'
import { caseNames } from './cases.ts'

const listOf = <T extends z.ZodType<unknown, string>>(item: T) =>
  z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(item).min(1))

const optionsSchema = z.object({
  json: z.boolean().default(false),
  quick: z.boolean().default(false),
  case: listOf(z.enum(caseNames)).optional(),
  connections: listOf(z.coerce.number<string>().int().min(1).max(64)).optional(),
  delay: listOf(z.coerce.number<string>().min(0).max(1_000)).optional(),
  system: listOf(z.enum(systemNames)).optional(),
  seconds: z.coerce.number().positive().max(3_600).optional(),
  tenants: z.coerce.number().int().min(1).max(10_000).optional(),
  rows: z.coerce.number().int().min(50).max(100_000).optional(),
})

/** What `npm run bench -- router` measures, and for how long. */
export interface RouterBenchOptions {
  readonly json: boolean
  readonly cases: readonly (typeof caseNames)[number][]
  readonly connections: readonly number[]
  readonly delaysMs: readonly number[]
  readonly systems: readonly (typeof systemNames)[number][]
  readonly rounds: number
  readonly sliceMs: number
  readonly tenants: number
  readonly rowsPerTenant: number
}

const FULL = { connections: [1, 16, 64], seconds: 3, sliceMs: 500, tenants: 50, rows: 2_000 }
/** Enough to see that everything works; too short to tell anything. */
const QUICK = { connections: [16], seconds: 0.1, sliceMs: 50, tenants: 5, rows: 100 }
const DELAYS_MS = [0, 1]

/** @throws BadArguments that says what is wrong and what would be right. */
export function parseRouterArguments(args: readonly string[]): RouterBenchOptions {
  const options = parse(args)
  const defaults = options.quick ? QUICK : FULL
  return {
    json: options.json,
    cases: options.case ?? caseNames,
    connections: options.connections ?? defaults.connections,
    delaysMs: options.delay ?? DELAYS_MS,
    systems: options.system ?? systemNames,
    rounds: Math.max(1, Math.round(((options.seconds ?? defaults.seconds) * 1_000) / defaults.sliceMs)),
    sliceMs: defaults.sliceMs,
    tenants: options.tenants ?? defaults.tenants,
    rowsPerTenant: options.rows ?? defaults.rows,
  }
}

function parse(args: readonly string[]): z.infer<typeof optionsSchema> {
  let values: unknown
  try {
    const string = { type: 'string' } as const
    const boolean = { type: 'boolean' } as const
    values = parseArgs({
      args: [...args],
      options: {
        json: boolean,
        quick: boolean,
        case: string,
        connections: string,
        delay: string,
        system: string,
        seconds: string,
        tenants: string,
        rows: string,
      },
    }).values
  } catch (error) {
    throw new BadArguments(error instanceof Error ? error.message : String(error))
  }
  const parsed = optionsSchema.safeParse(values)
  if (parsed.success) return parsed.data
  throw new BadArguments(
    parsed.error.issues.map(({ path, message }) => `--${path.join('.')}: ${message}`).join('; '),
  )
}
