import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { link, readFile, rm, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { FreeholdError } from '@freehold/contract'
import { z } from 'zod'

/** A process id alone may have been given to another process since; together with its start it names one. */
const holderSchema = z.object({ pid: z.int().positive(), started: z.string() })
type Holder = z.infer<typeof holderSchema>

/**
 * Makes this process the one that runs the stack whose lock is the file at `path`. The lock of a process that is
 * gone, however it ended, is no obstacle. Should two starts take over such a lock at the very same time, the
 * clusters refuse the second.
 *
 * @returns gives the lock back.
 * @throws FreeholdError `stack_already_running`.
 */
export async function takeLock(path: string): Promise<() => Promise<void>> {
  const own = { pid: process.pid, started: (await startOf(process.pid)) ?? '' }
  for (;;) {
    if (await createWhole(path, JSON.stringify(own))) return () => rm(path, { force: true })
    const holder = await readHolder(path)
    if (holder !== undefined && (await startOf(holder.pid)) === holder.started) {
      throw new FreeholdError(
        'stack_already_running',
        `The stack is already running as process ${holder.pid}.`,
        { details: { pid: holder.pid } },
      )
    }
    await rm(path, { force: true })
  }
}

/** Creates a file that appears with all of its content. @returns false when there is one already. */
async function createWhole(path: string, content: string): Promise<boolean> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  await writeFile(draft, content, { mode: 0o600 })
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  } finally {
    await rm(draft)
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return holderSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch {
    return undefined
  }
}

const START_FIELD = 19

/** When a process was started, in whatever the system counts; undefined when there is no such process. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    if (process.platform !== 'linux') {
      const { stdout } = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)])
      return stdout.trim()
    }
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // The name of the program, in parentheses, may contain anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[START_FIELD]
  } catch {
    return undefined
  }
}
