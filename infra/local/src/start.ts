// `npm start`: the whole of Freehold on this machine, kept in `.freehold/`. See `start/config.ts` for the environment
// variables that it reads.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureConsoleBuilt } from './console-build.ts'
import { onParentDeath } from './parent-watch.ts'
import type { Service } from './stack/service.ts'
import { type Stack, startStack } from './stack/stack.ts'
import { complaintOf } from './start/complaint.ts'
import { readConfig } from './start/config.ts'
import { ensureDemoTenants } from './start/demo-tenants.ts'
import { greet } from './start/greeting.ts'
import { RunLog } from './start/run-log.ts'

const RESTART_DELAY_MS = 1_000

/** Ctrl-C reaches us more than once: from the terminal, and again from npm. What comes later was meant. */
const SAME_SIGNAL_MS = 500
const QUEUE_AWAY = /"msg":"queue (?:disturbed|not reached)/

let log: RunLog | undefined
let queueIsAway = false
let signalledAt: number | undefined

const stopping = new AbortController()
const stop = () => stopping.abort()
process.on('SIGINT', stopOrEnd)
process.on('SIGTERM', stopOrEnd)
process.on('SIGHUP', stop)
onParentDeath(stop)
// A terminal that is gone must not end us before everything is stopped.
process.stdout.on('error', stop)
process.stderr.on('error', stop)

try {
  await run()
} catch (error) {
  if (!stopping.signal.aborted || error !== stopping.signal.reason) {
    complain(error)
    process.exitCode = 1
  }
}

async function run(): Promise<void> {
  const config = readConfig(process.env)
  const runLog = new RunLog(join(config.FREEHOLD_DIRECTORY, 'stack.log'))
  log = runLog
  await ensureConsoleBuilt({ onBuild: () => say('Building the console ...'), signal: stopping.signal })
  stopping.signal.throwIfAborted()
  say('Starting Freehold ...')
  const stack = await startStack({
    directory: config.FREEHOLD_DIRECTORY,
    ports: { controlApi: config.CONTROL_API_PORT, productApi: config.PRODUCT_API_PORT },
    redisUrl: config.REDIS_URL,
    log: (line) => {
      runLog.write(line)
      if (QUEUE_AWAY.test(line)) sayOfQueue()
    },
    onCrash: (service) => void bringBack(service),
    signal: stopping.signal,
  })
  try {
    await serve(stack)
  } finally {
    await stack.stop()
  }
  say('Stopped.')
}

async function serve(stack: Stack): Promise<void> {
  const [tenant] = await ensureDemoTenants(stack)
  if (tenant !== undefined) say(await greet(stack, tenant))
  await new Promise<void>((resolve) => {
    if (stopping.signal.aborted) resolve()
    stopping.signal.addEventListener('abort', () => resolve())
  })
  say('\nStopping ...')
}

/** A process that was killed to see what happens comes back; one that cannot start ends everything. */
async function bringBack(service: Service): Promise<void> {
  say(`The process ${service.name} has ended; it is started again.`)
  try {
    await sleep(RESTART_DELAY_MS, undefined, { signal: stopping.signal })
    await service.restart()
  } catch (error) {
    if (stopping.signal.aborted) return
    complain(error)
    process.exitCode = 1
    stop()
  }
}

/** Whatever hangs: the second time we end, and everything that we have started ends with us. */
function stopOrEnd(): void {
  signalledAt ??= performance.now()
  if (performance.now() - signalledAt > SAME_SIGNAL_MS) process.exit(1)
  stop()
}

/** Nothing fails without the queue, so nobody would look for the reason why moves begin late. */
function sayOfQueue(): void {
  if (queueIsAway || stopping.signal.aborted) return
  queueIsAway = true
  say('The queue is away (see the log). Moves go on: the worker finds them by polling, a little later.')
}

function complain(error: unknown): void {
  process.stderr.write(`\n${complaintOf(error, log)}\n`)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
