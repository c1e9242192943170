import { spawn } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { FreeholdError } from '@freehold/contract'

/** The unprivileged account as which a server runs that root starts; PostgreSQL refuses to run as root. */
export interface ServerUser {
  readonly uid: number
  readonly gid: number
}

/**
 * Accounts that exist on Linux without changing the machine, best first. A uid of no account would do for the
 * server itself, but initdb looks its user up in the password file.
 */
const ACCOUNTS = ['postgres', 'nobody']

/**
 * The account for a server over `dataDirectory`: none when we are not root ourselves, the owner of the data
 * when there are data, else the best of the accounts that exist. The owner decides because PostgreSQL refuses
 * the data of another user, and an account may have come since (by installing a package).
 *
 * @throws FreeholdError `stack_start_failed` when root is no use here (not Linux, or no such account).
 */
export async function chooseServerUser(dataDirectory: string): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  if (process.platform !== 'linux') {
    throw new FreeholdError('stack_start_failed', 'Start the stack as an ordinary user on this platform.')
  }
  const owner = await stat(dataDirectory).catch(() => undefined)
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  const passwords = await readFile('/etc/passwd', 'utf8')
  for (const account of ACCOUNTS) {
    const fields = passwords.split('\n').find((line) => line.startsWith(`${account}:`))
    const [, , uid, gid] = fields?.split(':') ?? []
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new FreeholdError(
    'stack_start_failed',
    `Started as root, PostgreSQL needs one of the accounts ${ACCOUNTS.join(', ')}, and there is none.`,
  )
}

/**
 * What every process of a server gets: its user (Node drops the supplementary groups along with it), a working
 * directory that this user can enter, and an environment in which no PG* variable changes what we asked for.
 */
export function spawnOptionsFor(user: ServerUser | undefined) {
  return {
    ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
    cwd: '/',
    env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
  }
}

export interface ProgramResult {
  readonly ok: boolean
  /** What it wrote to stdout and stderr. */
  readonly output: string
}

/** Runs a program as `user` to its end. Never throws: a program that cannot be started has failed. */
export async function runAs(
  user: ServerUser | undefined,
  program: string,
  args: readonly string[],
): Promise<ProgramResult> {
  const child = spawn(program, args, { ...spawnOptionsFor(user), stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  return await new Promise((resolve) => {
    child.once('error', (error) => resolve({ ok: false, output: error.message }))
    child.once('close', (code) => resolve({ ok: code === 0, output: output.trim() }))
  })
}

/** Whether `user` can enter a directory; asked of the system, because a parent may be closed to it in many ways. */
export async function canEnter(user: ServerUser | undefined, directory: string): Promise<boolean> {
  return (await runAs(user, '/bin/sh', ['-c', 'cd "$1"', 'sh', directory])).ok
}
