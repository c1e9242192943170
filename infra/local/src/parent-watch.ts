import { readFileSync } from 'node:fs'

const INTERVAL_MS = 250

/**
 * Calls back once when npm, or the shell that npm has put in between, is gone: killed by SIGKILL, it cannot pass
 * anything on to us, and would leave us running where nobody sees us. Does nothing when npm has not started us:
 * whoever starts us directly may well mean us to outlive a shell.
 */
export function onParentDeath(callback: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return
  const parent = process.ppid
  const grandparent = isShell(parent) ? parentOf(parent) : undefined
  const timer = setInterval(() => {
    if (process.ppid === parent && (grandparent === undefined || parentOf(parent) === grandparent)) return
    clearInterval(timer)
    callback()
  }, INTERVAL_MS)
  timer.unref()
}

const SHELL = /^\d+ \((?:sh|dash|bash|ash|busybox)\)/

function isShell(pid: number): boolean {
  return SHELL.test(statOf(pid))
}

const PARENT_FIELD = 1

function parentOf(pid: number): number | undefined {
  const stat = statOf(pid)
  return stat === '' ? undefined : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[PARENT_FIELD])
}

/** What Linux says of a process; nothing elsewhere, where we then watch our own parent only. */
function statOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return ''
  }
}
