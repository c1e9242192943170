import { onParentDeath } from '@freehold/local/stack'

const USAGE_STATUS = 2
export const INTERRUPTED_STATUS = 130
/** What cleaning up may take before the process ends without it. */
export const CLEAN_UP_PATIENCE_MS = 30_000

/** Somebody has had enough. */
export class Interruption extends Error {
  override readonly name = 'Interruption'
}

/** The options of a program, as its arguments say; what is wrong with them is told with its usage, and ends it. */
export function parseOptions<Options>(
  readArguments: (args: readonly string[]) => Options,
  usage: string,
): Options {
  try {
    return readArguments(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n\n${usage}`)
    process.exit(USAGE_STATUS)
  }
}

/** A controller that aborts with an {@link Interruption} when somebody has had enough of the program, or is gone. */
export function abortOnInterruption(): AbortController {
  const controller = new AbortController()
  const interrupt = () => controller.abort(new Interruption())
  // Ctrl-C reaches us from the terminal and again from npm.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, interrupt)
  onParentDeath(interrupt)
  // Whoever read us has gone; what was started is still to be stopped and removed.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', interrupt)
  return controller
}
