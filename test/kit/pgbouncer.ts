import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { chooseServerUser, findFreePort, spawnOptionsFor } from '@freehold/local'
import type { DatabaseAddress } from '@freehold/postgres'

/** A PgBouncer of its own in transaction mode, in front of one server. */
export interface TestPgBouncer {
  /** An address of the server, through the pooler. */
  through(address: DatabaseAddress): DatabaseAddress
  /** Ends it as a crash does: every connection breaks, to clients and to the server. */
  kill(): Promise<void>
  /** Starts it again on the same port. */
  start(): Promise<void>
  remove(): Promise<void>
}

export interface PgBouncerOptions {
  /** Connections to the server that a database and user get. */
  readonly poolSize: number
  /** Further settings of its section `[pgbouncer]`. */
  readonly settings?: Readonly<Record<string, string | number>>
}

const STARTUP_MS = 10_000

/** Ends the server when our end of the pipe is closed: because we want it to, or because we are dead. */
const SCRIPT = `
"$1" "$2" &
server=$!
read -r _
kill -KILL "$server"
wait "$server"
`

/**
 * Starts the machine's pgbouncer on a free port; as root, under an unprivileged account, as it demands.
 *
 * @param server whose user may log in; it stands for the server behind.
 * @throws Error when there is none; `npm test` installs it where it may.
 */
export async function startPgBouncer(
  server: DatabaseAddress,
  options: PgBouncerOptions,
): Promise<TestPgBouncer> {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-pgbouncer-'))
  const user = await chooseServerUser(directory)
  const port = await findFreePort()
  const config = join(directory, 'pgbouncer.ini')
  const users = join(directory, 'users.txt')
  await writeFile(users, `"${server.user}" "${server.password}"\n`, { mode: 0o600 })
  await writeFile(config, configuration(server, port, users, options), { mode: 0o600 })
  for (const path of [directory, config, users]) if (user) await chown(path, user.uid, user.gid)

  let running: ChildProcess | undefined

  async function start(): Promise<void> {
    const shell = spawn('/bin/sh', ['-c', SCRIPT, 'freehold-pgbouncer', await findProgram(), config], {
      ...spawnOptionsFor(user),
      stdio: ['pipe', 'ignore', 'pipe'],
      // In a session of its own: Ctrl-C must not reach the shell before it has ended the server.
      detached: true,
    })
    running = shell
    let log = ''
    shell.stderr.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-2_000)
    })
    for (let waited = 0; !(await answers(port)); waited += 20) {
      if (waited > STARTUP_MS) throw new Error(`pgbouncer did not start:\n${log}`)
      await sleep(20)
    }
  }

  async function kill(): Promise<void> {
    if (!running) return
    const exited = once(running, 'exit')
    running.stdin?.end()
    running = undefined
    await exited
  }

  async function remove(): Promise<void> {
    await kill()
    await rm(directory, { recursive: true })
  }

  await start().catch(async (error: unknown) => {
    await remove()
    throw error
  })
  return { through: (address) => ({ ...address, host: '127.0.0.1', port }), kill, start, remove }
}

function configuration(
  server: DatabaseAddress,
  port: number,
  users: string,
  options: PgBouncerOptions,
): string {
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'scram-sha-256',
    auth_file: users,
    pool_mode: 'transaction',
    default_pool_size: options.poolSize,
    max_client_conn: 200,
    // A server that restarts is tried again soon.
    server_login_retry: 1,
    ...options.settings,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
  return `[databases]\n* = host=${server.host} port=${server.port}\n[pgbouncer]\n${lines.join('\n')}\n`
}

async function findProgram(): Promise<string> {
  for (const path of ['/usr/sbin/pgbouncer', '/usr/local/bin/pgbouncer', '/opt/homebrew/bin/pgbouncer']) {
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path
  }
  return 'pgbouncer'
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  return await new Promise((resolve) => {
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
