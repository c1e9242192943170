import { readdirSync, readFileSync } from 'node:fs'

export interface FoundProcess {
  readonly pid: number
  readonly command: string
}

/**
 * The processes that have a path on their command line or in their environment, as whatever a test starts with it
 * as TMPDIR has, down to the last database server. Linux only.
 */
export function processesOf(path: string): FoundProcess[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .map((entry) => ({
      pid: Number(entry),
      command: read(`/proc/${entry}/cmdline`).replaceAll('\0', ' '),
      environment: read(`/proc/${entry}/environ`),
    }))
    .filter(({ command, environment }) => command.includes(path) || environment.includes(path))
    .map(({ pid, command }) => ({ pid, command }))
}

/** A process that has ended in the meantime has neither. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
