import { parseArgs } from 'node:util'
import { z } from 'zod'

export const USAGE = `npm run demo -- [options]

Moves a tenant from a shared pool to a database of its own, in another cluster and region, while
requests for it and for 19 others go on; then proves that nothing was lost. Sets up all that it
needs in a temporary folder and removes it again.

  --rows N      rows of the tenant that moves, 50 to 5000000 (default 200000)
  --seconds N   seconds of traffic before and after the move, 1 to 600 (default 5)
  --json        progress on stderr; the last line on stdout is the result as JSON
  --help        this text

Exit status: 0 the move has completed and the proof holds, 1 it has not or does not, 2 wrong options,
130 interrupted.
`

const argumentsSchema = z.object({
  rows: z.coerce.number().int().min(50).max(5_000_000).default(200_000),
  seconds: z.coerce.number().min(1).max(600).default(5),
  json: z.boolean().default(false),
  help: z.boolean().default(false),
})

/** @throws TypeError, with a message for whoever typed the options. */
export function readArguments(args: readonly string[]): z.infer<typeof argumentsSchema> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rows: { type: 'string' },
      seconds: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  const parsed = argumentsSchema.safeParse(values)
  if (parsed.success) return parsed.data
  throw new TypeError(
    parsed.error.issues.map(({ path, message }) => `--${path.join()}: ${message}`).join('\n'),
  )
}
