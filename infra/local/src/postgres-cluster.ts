import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { FreeholdError } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import { openDataDirectory, pgdataOf, SUPERUSER } from './data-directory.ts'
import { findFreePort, isFree } from './free-port.ts'
import { findPostgresBinaries } from './postgres-binaries.ts'
import { type Durability, settingsArguments } from './postgres-settings.ts'
import type { PostgresVersion } from './postgres-versions.ts'
import { type LaunchResult, launchPostmaster, type Postmaster, type PostmasterOptions } from './postmaster.ts'
import { refuseLiveServer } from './postmaster-pid.ts'
import { chooseServerUser } from './server-user.ts'
import { lastWords, SLOW_MACHINE } from './start-failures.ts'

export interface ClusterOptions {
  readonly name: string
  /** The folder of the cluster: data, superuser password, log. Created when missing. */
  readonly directory: string
  /** The port wished for; another one is taken when it is in use. */
  readonly port?: number
  /** `full` unless told otherwise. */
  readonly durability?: Durability
  /** Server settings besides our own, or instead of them. */
  readonly settings?: Readonly<Record<string, string>>
  /** The version that comes with Freehold, unless told otherwise. */
  readonly version?: PostgresVersion
  /** How long its server is waited for when it starts; two minutes unless told otherwise. */
  readonly patienceMs?: number
}

/** How a server is stopped: `fast` ends its sessions and writes a checkpoint, `immediate` leaves recovery to the next start. */
export type StopMode = 'fast' | 'immediate'

/** A PostgreSQL server of our own on 127.0.0.1, which ends with this process. */
export interface Cluster {
  readonly name: string
  readonly host: '127.0.0.1'
  readonly port: number
  /** Process id of the running server, or of the last one. */
  readonly pid: number
  readonly superuser: { readonly user: string; readonly password: string }
  /** PostgreSQL's data directory. */
  readonly pgdata: string
  readonly logFile: string
  /** The address of one of its databases for a role, the superuser by default. */
  address(database: string, role?: { readonly user: string; readonly password: string }): DatabaseAddress
  /** Resolves when the server has exited; more force is used when it takes longer than 10 s. */
  stop(mode?: StopMode): Promise<void>
  /** Kills the server by SIGKILL, as a crash would, and resolves when it has exited. */
  kill(): Promise<void>
  /** Stops the server unless it is dead already, and starts it again on the same port. */
  restart(): Promise<void>
}

const STOP_PATIENCE_MS = 10_000
/** How long to wait for what the previous server has left: its port, or sessions that outlive it briefly. */
const LEFTOVER_PATIENCE_MS = 15_000
const LEFTOVER_POLL_MS = 100
const PORT_ATTEMPTS = 20

/**
 * Starts the PostgreSQL server of a cluster, which is created on its first start.
 *
 * The server accepts connections when the promise resolves. It ends with this process, whatever ends that, and
 * does not keep the process alive by itself. Started as root it runs as an unprivileged user.
 *
 * @throws FreeholdError `stack_already_running` when a server runs over the same data, `stack_start_failed`
 * with the end of the server's log when it does not start.
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const directory = resolve(options.directory)
  await mkdir(directory, { recursive: true })
  const user = await chooseServerUser(pgdataOf(directory))
  const binaries = await findPostgresBinaries(user, options.version)
  const data = await openDataDirectory(directory, binaries, user)
  await refuseLiveServer(options.name, data.pgdata)
  const server = {
    program: binaries.postgres,
    pgdata: data.pgdata,
    settings: settingsArguments(options.durability ?? 'full', options.settings ?? {}),
    logFile: join(directory, 'postgres.log'),
    user,
    patienceMs: options.patienceMs,
  }
  const { port, postmaster } = await launchOnFreePort(options.name, server, options.port)
  return new RunningCluster(options.name, { ...server, port }, data.superuserPassword, postmaster)
}

class RunningCluster implements Cluster {
  readonly name: string
  readonly host = '127.0.0.1'
  readonly superuser: { readonly user: string; readonly password: string }
  readonly #options: PostmasterOptions
  #postmaster: Postmaster

  constructor(name: string, options: PostmasterOptions, password: string, postmaster: Postmaster) {
    this.name = name
    this.superuser = { user: SUPERUSER, password }
    this.#options = options
    this.#postmaster = postmaster
  }

  get port(): number {
    return this.#options.port
  }

  get pid(): number {
    return this.#postmaster.pid
  }

  get pgdata(): string {
    return this.#options.pgdata
  }

  get logFile(): string {
    return this.#options.logFile
  }

  address(database: string, role = this.superuser): DatabaseAddress {
    const { host, port } = this
    return { host, port, database, user: role.user, password: role.password, tls: 'disable' }
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    const postmaster = this.#postmaster
    // A fast shutdown waits for a replication client that has stalled, for ever.
    for (const signal of mode === 'fast' ? (['SIGINT', 'SIGQUIT'] as const) : (['SIGQUIT'] as const)) {
      postmaster.signal(signal)
      if (await exitsWithin(postmaster, STOP_PATIENCE_MS)) return
    }
    await this.kill()
  }

  async kill(): Promise<void> {
    this.#postmaster.signal('SIGKILL')
    await this.#postmaster.exited
  }

  async restart(): Promise<void> {
    await this.stop()
    const deadline = Date.now() + LEFTOVER_PATIENCE_MS
    for (;;) {
      const result = await launchPostmaster(this.#options)
      if (result.ready) {
        this.#postmaster = result.postmaster
        return
      }
      if (!isLeftover(result.log) || Date.now() > deadline) throw startFailed(this.name, result)
      await sleep(LEFTOVER_POLL_MS)
    }
  }
}

async function launchOnFreePort(
  name: string,
  server: Omit<PostmasterOptions, 'port'>,
  wished: number | undefined,
): Promise<{ port: number; postmaster: Postmaster }> {
  const deadline = Date.now() + LEFTOVER_PATIENCE_MS
  for (let attempt = 1; ; attempt++) {
    const useWished = attempt === 1 && wished !== undefined && (await isFree(wished))
    const port = useWished ? wished : await findFreePort()
    const result = await launchPostmaster({ ...server, port })
    if (result.ready) return { port, postmaster: result.postmaster }
    const again = isPortTaken(result.log) ? attempt < PORT_ATTEMPTS : isLeftover(result.log)
    if (!again || Date.now() > deadline) throw startFailed(name, result)
    await sleep(LEFTOVER_POLL_MS)
  }
}

async function exitsWithin(postmaster: Postmaster, milliseconds: number): Promise<boolean> {
  const timer = new AbortController()
  const inTime = await Promise.race([
    postmaster.exited.then(() => true),
    sleep(milliseconds, false, { signal: timer.signal }).catch(() => false),
  ])
  timer.abort()
  return inTime
}

function isPortTaken(log: string): boolean {
  return log.includes('could not bind') || log.includes('could not create any TCP/IP sockets')
}

/** A killed server leaves sessions that end a moment after it, and until then hold its shared memory. */
function isLeftover(log: string): boolean {
  return isPortTaken(log) || log.includes('pre-existing shared memory block')
}

function startFailed(
  name: string,
  { log, waitedMs }: Extract<LaunchResult, { ready: false }>,
): FreeholdError {
  const what =
    waitedMs === undefined
      ? `The PostgreSQL of the cluster ${name} did not start.`
      : `The PostgreSQL of the cluster ${name} was waited for ${waitedMs / 1_000} s and takes no connections. ${SLOW_MACHINE}`
  return new FreeholdError('stack_start_failed', `${what}\n${lastWords([log])}`, {
    details: { cluster: name },
  })
}
