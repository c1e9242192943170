import { type ChildProcess, spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { startWatchdog } from './postgres-watchdog.ts'
import { readPostmasterPid } from './postmaster-pid.ts'
import { type ServerUser, spawnOptionsFor } from './server-user.ts'

export interface PostmasterOptions {
  readonly program: string
  readonly pgdata: string
  readonly port: number
  readonly settings: readonly string[]
  readonly logFile: string
  readonly user: ServerUser | undefined
  /** How long it is waited for; two minutes unless told otherwise. */
  readonly patienceMs?: number | undefined
}

/** A server process, from its launch to its exit. */
export interface Postmaster {
  readonly pid: number
  /** Resolves when the process has exited, however that came about. */
  readonly exited: Promise<void>
  /** Sends a signal; nothing happens when it has exited already. */
  signal(signal: 'SIGINT' | 'SIGQUIT' | 'SIGKILL'): void
}

/** How a launch ended: with a server that accepts connections, or without one. */
export type LaunchResult =
  | { readonly ready: true; readonly postmaster: Postmaster }
  | {
      readonly ready: false
      /** The end of what it has written. */
      readonly log: string
      /** For how long it was waited for in vain; undefined when it has ended by itself. */
      readonly waitedMs: number | undefined
    }

/** Crash recovery replays at most a few WAL segments here, and a slow machine may do other things at the same time. */
const START_PATIENCE_MS = 120_000
const POLL_MS = 10
const LOG_TAIL_LINES = 15

/**
 * Starts a server and waits until it accepts connections. It ends when this process ends, and does not keep
 * this process alive.
 */
export async function launchPostmaster(options: PostmasterOptions): Promise<LaunchResult> {
  const log = await open(options.logFile, 'a+', 0o600)
  try {
    const logStart = (await log.stat()).size
    const postmaster = spawnPostmaster(options, log.fd)
    const { patienceMs = START_PATIENCE_MS } = options
    const outcome = postmaster && (await becomesReady(postmaster, options.pgdata, patienceMs))
    if (postmaster !== undefined && outcome === 'ready') return { ready: true, postmaster }
    const { buffer, bytesRead } = await log.read({ position: logStart, buffer: Buffer.alloc(64 * 1024) })
    const lines = buffer.toString('utf8', 0, bytesRead).trim().split('\n')
    const waitedMs = outcome === 'late' ? patienceMs : undefined
    return { ready: false, log: lines.slice(-LOG_TAIL_LINES).join('\n'), waitedMs }
  } finally {
    await log.close()
  }
}

function spawnPostmaster(options: PostmasterOptions, log: number): Postmaster | undefined {
  const watchdog = startWatchdog(options.pgdata, options.user)
  const child = spawn(
    options.program,
    ['-D', options.pgdata, '-p', String(options.port), ...options.settings],
    // In a session of its own: on Ctrl-C the server stops last, when we say so.
    { ...spawnOptionsFor(options.user), stdio: ['ignore', log, log], detached: true },
  )
  const exited = exitOf(child).then(() => watchdog.dismiss())
  child.unref()
  if (child.pid === undefined) return undefined
  watchdog.watch(child.pid)
  return {
    pid: child.pid,
    exited,
    signal(signal) {
      // Whoever signals waits for the exit, and must not be ended by an empty event loop before it.
      child.ref()
      child.kill(signal)
    },
  }
}

function exitOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('error', () => resolve())
    child.once('exit', () => resolve())
  })
}

async function becomesReady(
  postmaster: Postmaster,
  pgdata: string,
  patienceMs: number,
): Promise<'ready' | 'ended' | 'late'> {
  let exited = false
  void postmaster.exited.then(() => {
    exited = true
  })
  const deadline = Date.now() + patienceMs
  while (!exited && Date.now() < deadline) {
    const found = await readPostmasterPid(pgdata)
    if (found?.pid === postmaster.pid && found.ready) return 'ready'
    await sleep(POLL_MS)
  }
  if (exited) return 'ended'
  postmaster.signal('SIGQUIT')
  await postmaster.exited
  return 'late'
}
