import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findFreePort } from '@freehold/local'

/** A Redis server of its own, without persistence. */
export interface TestRedis {
  readonly url: string
  /** Sends one command and returns the answer as it stands on the wire. */
  command(line: string): Promise<string>
  /** Ends the server as a crash does; what was in it is gone. */
  kill(): Promise<void>
  /** Starts it again on the same port. */
  start(): Promise<void>
  remove(): Promise<void>
}

const STARTUP_MS = 5_000

/**
 * Starts the machine's redis-server on a free port.
 *
 * @throws Error when there is none; `npm test` installs it where it may.
 */
export async function startTestRedis(): Promise<TestRedis> {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-redis-'))
  const port = await findFreePort()
  const settings = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', directory, '--save', '']
  let kill: () => Promise<void> = async () => undefined

  async function start(): Promise<void> {
    const server = spawn('redis-server', [...settings, '--maxmemory-policy', 'noeviction'], {
      stdio: 'ignore',
    })
    const exited = Promise.race([once(server, 'exit'), once(server, 'error').then(([error]) => error)])
    kill = async () => {
      server.kill('SIGKILL')
      await exited
    }
    for (let waited = 0; ; waited += 20) {
      if ((await send(port, 'PING').catch(() => '')) === '+PONG') return
      if (server.exitCode !== null || server.pid === undefined || waited > STARTUP_MS) {
        throw new Error('redis-server did not start; is it installed?')
      }
      await sleep(20)
    }
  }

  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    command: (line) => send(port, line),
    kill: () => kill(),
    start,
    async remove() {
      await kill()
      await rm(directory, { recursive: true })
    },
  }
}

/** Speaks the inline form of Redis's protocol: one line, and then all that comes back. */
async function send(port: number, line: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.end(`${line}\r\n`)
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  return Buffer.concat(chunks).toString().trim()
}
