import { parseArgs } from 'node:util'
import { z } from 'zod'
import { barrierNames } from './barriers.ts'
import { faultKinds, faultSets, faults } from './faults.ts'

/** How the moves of a matrix are followed. */
export const MATRIX_STREAMS = ['logical', 'triggers'] as const

export const USAGE = `npm run chaos -- [options]

Moves tenants between two clusters while they are written to, and kills or cuts off the worker, the
PostgreSQL of the source, of the target and of the catalog, and Redis. Whatever happens, a move must
be made or not made, with no write lost and nothing left behind. Sets up all that it needs in a
temporary folder and removes it again.

  --minutes N   how long, 0.1 to 600 (default 10)
  --seed N      repeats the choices of an earlier run (default: a new one, which is printed)
  --matrix      every fault at every barrier of a move instead, each with a move of its own by either change stream
  --pairs       no faults: from every kind of place to every kind, on the same cluster and on another, by
                either change stream; made, given up in each phase, rolled back, made again and finalised
  --schema-changes
                no faults: whatever an owner does to the source's tables, in each phase, by either stream
  --jobs N      with one of these three: so many at a time, each on servers of its own, 1 to 8 (default 1)
  --fault NAME  with --matrix: this fault only; with --in-turn, this kind
  --at NAME     with --matrix: this barrier only
  --by NAME     with --matrix: followed by this only, logical or triggers, and so in the rollback window
  --in-turn     with --matrix: at every barrier each kind of fault, but one of the kind: the servers and connections
                take turns from barrier to barrier
  --strikes N   with --matrix: each move is struck at so many barriers of its way, one after the other and far
                apart, 1 to 20 (default 1): fewer moves
  --only TEXT   with --pairs or --schema-changes: only what has this in its name, and what brings a tenant there
  --help        this text

Whatever goes wrong is told with the command that repeats it.

Faults: ${faults.map(({ name }) => name).join(', ')}.
Kinds: ${faultKinds.join(', ')}.
Barriers: ${barrierNames.join(', ')}.

Exit status: 0 all invariants held, 1 one did not, 2 wrong options, 130 interrupted.
`

const argumentsSchema = z
  .object({
    minutes: z.coerce.number().min(0.1).max(600).optional(),
    seed: z.coerce.number().int().min(0).max(0xffff_ffff).optional(),
    matrix: z.boolean().default(false),
    pairs: z.boolean().default(false),
    'schema-changes': z.boolean().default(false),
    fault: z.enum([...faults.map(({ name }) => name), ...faultKinds]).optional(),
    'in-turn': z.boolean().optional(),
    at: z.enum(barrierNames).optional(),
    by: z.enum(MATRIX_STREAMS).optional(),
    strikes: z.coerce.number().int().min(1).max(20).optional(),
    jobs: z.coerce.number().int().min(1).max(8).optional(),
    only: z.string().min(1).optional(),
    help: z.boolean().default(false),
  })
  .refine(
    (given) =>
      given.matrix ||
      (given.fault ?? given.at ?? given.by ?? given.strikes ?? given['in-turn']) === undefined,
    {
      path: ['fault', 'at', 'by', 'strikes', 'in-turn'],
      message: 'go with --matrix',
    },
  )
  .refine(
    (given) =>
      given.fault === undefined || faultSets(given['in-turn']).some(({ name }) => name === given.fault),
    {
      path: ['fault'],
      message: 'a kind with --in-turn, a fault without',
    },
  )
  .refine((given) => [given.matrix, given.pairs, given['schema-changes']].filter(Boolean).length <= 1, {
    path: ['matrix', 'pairs', 'schema-changes'],
    message: 'one of them at a time',
  })
  .refine((given) => given.minutes === undefined || !(given.pairs || given['schema-changes']), {
    path: ['minutes'],
    message: '--pairs and --schema-changes end when all is done',
  })
  .refine((given) => given.only === undefined || given.pairs || given['schema-changes'], {
    path: ['only'],
    message: 'goes with --pairs and --schema-changes',
  })
  .refine((given) => given.jobs === undefined || given.matrix || given.pairs || given['schema-changes'], {
    path: ['jobs'],
    message: 'goes with --matrix, --pairs and --schema-changes',
  })
  .refine(({ matrix, minutes, seed }) => !matrix || (minutes === undefined && seed === undefined), {
    path: ['matrix'],
    message: 'takes neither --minutes nor --seed: it ends when all is done',
  })

/** @throws TypeError, with a message for whoever typed the options. */
export function readArguments(args: readonly string[]): z.infer<typeof argumentsSchema> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string' },
      seed: { type: 'string' },
      matrix: { type: 'boolean' },
      pairs: { type: 'boolean' },
      'schema-changes': { type: 'boolean' },
      fault: { type: 'string' },
      at: { type: 'string' },
      by: { type: 'string' },
      'in-turn': { type: 'boolean' },
      strikes: { type: 'string' },
      jobs: { type: 'string' },
      only: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  const parsed = argumentsSchema.safeParse(values)
  if (parsed.success) return parsed.data
  throw new TypeError(
    parsed.error.issues.map(({ path, message }) => `--${path.join()}: ${message}`).join('\n'),
  )
}
