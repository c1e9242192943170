import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** What a stopped server or browser needs to be gone. */
const PATIENCE_MS = 6_000
const POLL_MS = 100

/** The folder for temporary files of one test run, by which everything that the run leaves behind is found. */
export interface RunFolder {
  readonly path: string
  /**
   * Removes the folder, ends the processes that still use it, and says what they were and which files of
   * Freehold's were not removed.
   */
  close(): Promise<string[]>
}

/**
 * Makes the folder that the tests of a run get as TMPDIR. A process that they start has it in its environment or
 * (a database server) in its command line; processes are looked for on Linux only.
 */
export async function openRunFolder(): Promise<RunFolder> {
  const path = await mkdtemp(join(tmpdir(), 'freehold-test-run-'))
  // Database servers that root starts run as another user.
  await chmod(path, 0o755)
  return {
    path,
    async close() {
      const processes = await waitForProcesses(path)
      for (const { pid } of processes) endProcess(pid)
      const files = (await readdir(path)).filter((name) => name.startsWith('freehold-'))
      await rm(path, { recursive: true, force: true, maxRetries: 5 })
      return [
        ...processes.map(({ pid, command }) => `process ${pid}: ${command}`),
        ...files.map((name) => `temporary files: ${name}`),
      ]
    },
  }
}

interface FoundProcess {
  readonly pid: number
  readonly command: string
}

async function waitForProcesses(path: string): Promise<FoundProcess[]> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const found = await findProcesses(path)
    if (found.length === 0 || Date.now() > deadline) return found
    await sleep(POLL_MS)
  }
}

async function findProcesses(path: string): Promise<FoundProcess[]> {
  if (process.platform !== 'linux') return []
  const found: FoundProcess[] = []
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const read = (file: string) => readFile(`/proc/${entry}/${file}`, 'utf8').catch(() => '')
    const [command, environment] = await Promise.all([read('cmdline'), read('environ')])
    // A process that is dead and not yet reaped has neither.
    if (!command.includes(path) && !environment.includes(`TMPDIR=${path}`)) continue
    found.push({ pid: Number(entry), command: command.replaceAll('\0', ' ').slice(0, 200) })
  }
  return found
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended in the meantime.
  }
}
