// `npm run demo`: see `arguments.ts` for what it does and takes.
import { errorRegistry, isFreeholdError } from '@freehold/contract'
import {
  abortOnInterruption,
  CLEAN_UP_PATIENCE_MS,
  INTERRUPTED_STATUS,
  Interruption,
  parseOptions,
} from '../kit/interruption.ts'
import { readArguments, USAGE } from './arguments.ts'
import { ProgressDisplay } from './progress-display.ts'
import { type DemoResult, runDemo } from './run-demo.ts'
import { showResult } from './show-result.ts'

/** Lines of the processes' output that are kept to explain a failure. */
const LOG_LINES = 25
/** What the processes log when all is well. */
const ROUTINE = /"level":[123]0,/
/** What the whole may take, and what is added for the rows; it takes a fifth of that. */
const TIME_LIMIT_MS = 120_000
const ROWS_PER_SECOND = 5_000

const options = parseOptions(readArguments, USAGE)
if (options.help) process.stdout.write(USAGE)
else await demo()

async function demo(): Promise<void> {
  const { signal } = limitTime(abortOnInterruption())
  const display = new ProgressDisplay(options.json ? process.stderr : process.stdout)
  const log: string[] = []
  try {
    const result = await runDemo({
      rows: options.rows,
      seconds: options.seconds,
      signal,
      observer: display,
      stack: {
        redisUrl: process.env.REDIS_URL,
        log(line) {
          if (ROUTINE.test(line)) return
          log.push(line)
          if (log.length > LOG_LINES) log.shift()
        },
      },
    })
    display.close()
    finish(result, log)
  } catch (error) {
    display.close()
    explain(signal.aborted ? signal.reason : error, log)
  }
}

/** Has the demo given up also when it takes far too long. */
function limitTime(controller: AbortController): AbortController {
  const limit = TIME_LIMIT_MS + (options.rows / ROWS_PER_SECOND) * 1000 + 2 * options.seconds * 1000
  setTimeout(() => {
    controller.abort(new Error('It took far too long.'))
    // What does not even react to that is ended with us; its temporary files stay.
    setTimeout(() => process.exit(1), CLEAN_UP_PATIENCE_MS).unref()
  }, limit).unref()
  return controller
}

function finish(result: DemoResult, log: readonly string[]): void {
  const { report } = result
  const output = options.json ? process.stderr : process.stdout
  output.write(showResult(result))
  if (!report.ok) showLog(log)
  if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`)
  process.exitCode = report.ok ? 0 : 1
}

function explain(error: unknown, log: readonly string[]): void {
  if (error instanceof Interruption) {
    process.stderr.write('Interrupted. Everything that was started has been stopped and removed.\n')
    process.exitCode = INTERRUPTED_STATUS
    return
  }
  const next = isFreeholdError(error) ? ` ${errorRegistry[error.code].next} (${error.code})` : ''
  process.stderr.write(`The demo failed: ${error instanceof Error ? error.message : error}${next}\n`)
  showLog(log)
  process.exitCode = 1
}

function showLog(log: readonly string[]): void {
  if (log.length > 0) process.stderr.write(`\nFrom the log of the processes:\n${log.join('\n')}\n`)
}
