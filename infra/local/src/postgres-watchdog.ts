import { spawn } from 'node:child_process'
import { type ServerUser, spawnOptionsFor } from './server-user.ts'

/**
 * Reads its server's pid, and waits for another line (the server was stopped in order) or the end of its input (we
 * are dead, however that came about). Then it stops the server: by a fast shutdown, after 4 s by an immediate one,
 * because a fast shutdown waits for a replication client that has stalled. The server may be starting and write
 * its pid only now, so a missing file counts as stopped only once it has been seen, or after 2 s. A file with another
 * pid is that of a later server over the same data, which is none of its business.
 */
const SCRIPT = `
read -r server || server=
read -r _ && exit 0
seen=0 tries=0
while [ $tries -lt 100 ]; do
  if read -r pid < "$1/postmaster.pid"; then
    seen=1
    if [ -n "$server" ] && [ "$pid" != "$server" ]; then exit 0; fi
    if [ $tries -lt 40 ]; then kill -INT "$pid" || exit 0; else kill -QUIT "$pid" || exit 0; fi
  else
    if [ $seen -eq 1 ] || [ $tries -ge 20 ]; then exit 0; fi
  fi
  tries=$((tries + 1))
  sleep 0.1
done
`

/** Watches over one server. */
export interface Watchdog {
  /** Says which process the server is. */
  watch(pid: number): void
  /** Ends the watchdog, once the server has exited. */
  dismiss(): void
}

/**
 * Ties the life of the server over `pgdata` to ours: when this process ends without stopping the server, even
 * by SIGKILL, the watchdog stops it. The kernel's parent-death signal would do that on Linux only, once only
 * (no immediate shutdown after a fast one that hangs), and when a thread ends instead of the process.
 */
export function startWatchdog(pgdata: string, user: ServerUser | undefined): Watchdog {
  const watchdog = spawn('/bin/sh', ['-c', SCRIPT, 'freehold-watchdog', pgdata], {
    ...spawnOptionsFor(user),
    stdio: ['pipe', 'ignore', 'ignore'],
    // In a session of its own: Ctrl-C and a kill of our process group must not reach it.
    detached: true,
  })
  watchdog.on('error', () => undefined)
  watchdog.stdin.on('error', () => undefined)
  watchdog.unref()
  return {
    watch: (pid) => watchdog.stdin.write(`${pid}\n`),
    dismiss: () => watchdog.stdin.end('stopped\n'),
  }
}
