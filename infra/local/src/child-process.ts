import { type ChildProcess, fork } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { FreeholdError } from '@freehold/contract'

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

const START_DEADLINE_MS = 30_000
const STOP_PATIENCE_MS = 10_000
const LOG_TAIL_LINES = 15
const INHERITED = ['PATH', 'HOME', 'TMPDIR']

/**
 * Starts a Node process and waits until it says that it is ready.
 *
 * It runs with the export conditions of this process. When this process dies, even by SIGKILL, it is asked to
 * stop and is gone within 5 s.
 *
 * @throws FreeholdError `stack_start_failed` with the end of its output when it exits before, or is not ready
 * within 30 s.
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
  const { readyMatch, tail } = await followOutput(child, options)
  if (readyMatch === undefined || child.pid === undefined) {
    child.kill('SIGKILL')
    await exited
    throw new FreeholdError(
      'stack_start_failed',
      `The process ${options.name} did not become ready:\n${tail.join('\n')}`,
      { details: { process: options.name } },
    )
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

/**
 * Hands every line of output on for as long as the process lives. Resolves with the line that says that it is
 * ready, or without one when the process ends or the deadline passes before.
 */
function followOutput(
  child: ChildProcess,
  options: ProcessOptions,
): Promise<{ readyMatch: RegExpExecArray | undefined; tail: readonly string[] }> {
  const tail: string[] = []
  const follow = (line: string) => {
    tail.push(line)
    if (tail.length > LOG_TAIL_LINES) tail.shift()
    options.log?.(`[${options.name}] ${line}`)
  }
  return new Promise((resolve) => {
    const settle = (readyMatch?: RegExpExecArray) => {
      clearTimeout(deadline)
      resolve({ readyMatch, tail })
    }
    const deadline = setTimeout(settle, START_DEADLINE_MS)
    child.once('close', () => settle())
    onLine(child.stderr, follow)
    onLine(child.stdout, (line) => {
      follow(line)
      const match = options.ready.exec(line)
      if (match !== null) settle(match)
    })
  })
}

function onLine(input: Readable | null, listener: (line: string) => void): void {
  if (input !== null) createInterface({ input }).on('line', listener)
}
