import { type ChildProcess, fork } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { FreeholdError } from '@freehold/contract'
import { lastWords, SLOW_MACHINE } from './start-failures.ts'

export interface ProcessOptions {
  /** Shown before each line of its output. */
  readonly name: string
  /** The module to run. */
  readonly entry: URL
  /** Its environment; of ours it gets only where programs, home and temporary files are. */
  readonly env: Readonly<Record<string, string>>
  /** Matches the line of its stdout that says that it is ready. */
  readonly ready: RegExp
  /** Receives every line of its output, its name in front. */
  readonly log?: (line: string) => void
  /** How long it is waited for; two minutes unless told otherwise. */
  readonly patienceMs?: number
}

/** How a process ended: one of the two is null. */
export interface ProcessExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A Node process of ours. It keeps this process alive, and ends when this process dies. */
export interface ManagedProcess {
  readonly name: string
  readonly pid: number
  /** What {@link ProcessOptions.ready} matched, with its groups. */
  readonly readyMatch: RegExpExecArray
  /** Resolves when the process has exited, however that came about. */
  readonly exited: Promise<ProcessExit>
  /** Asks the process to stop (SIGTERM), kills it after 10 s, and resolves when it has exited. */
  stop(): Promise<ProcessExit>
  /** Kills the process by SIGKILL, as a crash would, and resolves when it has exited. */
  kill(): Promise<ProcessExit>
}

/** A slow machine that does other things at the same time needs most of it; one that cannot start has ended long before. */
const START_PATIENCE_MS = 120_000
const STOP_PATIENCE_MS = 10_000
const LOG_TAIL_LINES = 15
const INHERITED = ['PATH', 'HOME', 'TMPDIR']

/**
 * Starts a Node process and waits until it says that it is ready.
 *
 * It runs with the export conditions of this process. When this process dies, even by SIGKILL, it is asked to
 * stop and is gone within 5 s.
 *
 * @throws FreeholdError `stack_start_failed` with the end of its output when it exits before, or is not ready in time.
 */
export async function startProcess(options: ProcessOptions): Promise<ManagedProcess> {
  const child = fork(options.entry, {
    execArgv: [...exportConditions(), '--import', import.meta.resolve('./exit-with-parent.ts')],
    env: { ...inheritedEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // In a session of its own: on Ctrl-C it is we who say in which order things stop.
    detached: true,
  })
  const exited = exitOf(child)
  const { patienceMs = START_PATIENCE_MS } = options
  const { readyMatch, endedItself, tail } = await followOutput(child, options, patienceMs)
  if (readyMatch === undefined || child.pid === undefined) {
    child.kill('SIGKILL')
    const what = endedItself
      ? `The process ${options.name} ended before it was ready${howItEnded(await exited)}.`
      : `The process ${options.name} was waited for ${patienceMs / 1_000} s and is not ready. ${SLOW_MACHINE}`
    await exited
    throw new FreeholdError('stack_start_failed', `${what}\n${lastWords(tail)}`, {
      details: { process: options.name },
    })
  }
  return {
    name: options.name,
    pid: child.pid,
    readyMatch,
    exited,
    async stop() {
      child.kill('SIGTERM')
      const killer = setTimeout(() => child.kill('SIGKILL'), STOP_PATIENCE_MS)
      return await exited.finally(() => clearTimeout(killer))
    },
    async kill() {
      child.kill('SIGKILL')
      return await exited
    },
  }
}

/** Not all of `process.execArgv`: a test runner's loaders are for the test, not for the processes it starts. */
function exportConditions(): string[] {
  return process.execArgv.filter((argument) => argument.startsWith('--conditions='))
}

function inheritedEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {}
  for (const name of INHERITED) {
    const value = process.env[name]
    if (value !== undefined) environment[name] = value
  }
  return environment
}

function exitOf(child: ChildProcess): Promise<ProcessExit> {
  return new Promise((resolve) => {
    child.once('error', () => resolve({ code: null, signal: null }))
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
}

function howItEnded({ code, signal }: ProcessExit): string {
  if (code !== null) return `, with exit status ${code}`
  return signal === null ? '' : `, by ${signal}`
}

/** What became of a start. */
interface FollowedStart {
  /** The line that says that it is ready; none when the process ended, or was waited for long enough, before. */
  readonly readyMatch: RegExpExecArray | undefined
  readonly endedItself: boolean
  readonly tail: readonly string[]
}

/** Hands every line of output on for as long as the process lives. */
function followOutput(
  child: ChildProcess,
  options: ProcessOptions,
  patienceMs: number,
): Promise<FollowedStart> {
  const tail: string[] = []
  const follow = (line: string) => {
    tail.push(line)
    if (tail.length > LOG_TAIL_LINES) tail.shift()
    options.log?.(`[${options.name}] ${line}`)
  }
  return new Promise((resolve) => {
    const settle = (readyMatch: RegExpExecArray | undefined, endedItself: boolean) => {
      clearTimeout(deadline)
      resolve({ readyMatch, endedItself, tail })
    }
    const deadline = setTimeout(() => settle(undefined, false), patienceMs)
    child.once('close', () => settle(undefined, true))
    onLine(child.stderr, follow)
    onLine(child.stdout, (line) => {
      follow(line)
      const match = options.ready.exec(line)
      if (match !== null) settle(match, false)
    })
  })
}

function onLine(input: Readable | null, listener: (line: string) => void): void {
  if (input !== null) createInterface({ input }).on('line', listener)
}
