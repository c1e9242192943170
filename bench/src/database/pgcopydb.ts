import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type DatabaseAddress, formatDatabaseUrl } from '@freehold/postgres'

const PATIENCE_MS = 300_000

/**
 * Runs `pgcopydb clone` with its own defaults, four tables and four indexes at once.
 *
 * @param target an empty database.
 * @throws Error when it fails, or is ended by `signal` or after five minutes.
 */
export async function pgcopydbClone(
  source: DatabaseAddress,
  target: DatabaseAddress,
  signal: AbortSignal,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'freehold-pgcopydb-'))
  try {
    const child = spawn('pgcopydb', ['clone', '--dir', join(folder, 'work')], {
      // In a session of its own, so that it can be ended with all the processes that it starts.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        TMPDIR: folder,
        XDG_RUNTIME_DIR: folder,
        XDG_DATA_HOME: folder,
        PGCOPYDB_SOURCE_PGURI: formatDatabaseUrl(source),
        PGCOPYDB_TARGET_PGURI: formatDatabaseUrl(target),
      },
    })
    const end = () => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
    }
    const timer = setTimeout(end, PATIENCE_MS)
    signal.addEventListener('abort', end, { once: true })
    const said = Promise.all([text(child.stdout), text(child.stderr)])
    const [code] = await once(child, 'close')
    clearTimeout(timer)
    signal.removeEventListener('abort', end)
    signal.throwIfAborted()
    if (code !== 0) throw new Error(`pgcopydb ended with ${code}: ${(await said).join('').slice(-2_000)}`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
