import { readFile, readlink, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FreeholdError } from '@freehold/contract'

/** What a server writes into `postmaster.pid` of its data directory. */
export interface PostmasterPid {
  readonly pid: number
  /** Whether it accepts connections. */
  readonly ready: boolean
}

const PID_LINE = 0
const STATUS_LINE = 7

/** Reads `postmaster.pid`; undefined when there is none or it is not written completely yet. */
export async function readPostmasterPid(pgdata: string): Promise<PostmasterPid | undefined> {
  const text = await readFile(join(pgdata, 'postmaster.pid'), 'utf8').catch(() => '')
  const lines = text.split('\n')
  const pid = Number(lines[PID_LINE])
  if (!Number.isInteger(pid) || pid <= 0) return undefined
  return { pid, ready: lines[STATUS_LINE]?.trim() === 'ready' }
}

/**
 * Makes sure that no server runs over `pgdata`. A `postmaster.pid` whose process is gone is no obstacle; it is
 * removed when its number now belongs to some other program, because PostgreSQL itself would take that for a
 * server.
 *
 * @throws FreeholdError `stack_already_running` when a server runs over it.
 */
export async function refuseLiveServer(name: string, pgdata: string): Promise<void> {
  const found = await readPostmasterPid(pgdata)
  if (found === undefined || !isAlive(found.pid)) return
  if (await isServerOver(found.pid, pgdata)) {
    throw new FreeholdError(
      'stack_already_running',
      `The cluster ${name} is already running as process ${found.pid}, over ${pgdata}.`,
      { details: { cluster: name, pid: found.pid } },
    )
  }
  await rm(join(pgdata, 'postmaster.pid'), { force: true })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** A server's working directory is its data directory. Where that cannot be asked, assume the worse. */
async function isServerOver(pid: number, pgdata: string): Promise<boolean> {
  if (process.platform !== 'linux') return true
  try {
    return (await readlink(`/proc/${pid}/cwd`)) === (await realpath(pgdata))
  } catch (error) {
    // Gone in the meantime. EACCES is another user's process: ours and root's can be read.
    return !(
      error instanceof Error &&
      'code' in error &&
      (error.code === 'ENOENT' || error.code === 'EACCES')
    )
  }
}
