import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { mkdir, rename, rm, rmdir, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TemporaryCluster } from '@freehold/local'
import { withClient } from '@freehold/postgres'
import { asSuperuser } from './databases.ts'

const run = promisify(execFile)
const SIZE = '600m'

/** Whether this process may mount a file system: root may not in every container. */
export function mayMount(): boolean {
  const path = mkdtempSync(join(tmpdir(), 'freehold-mount-'))
  const isMounted = spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', path]).status === 0
  if (isMounted) spawnSync('umount', [path])
  rmdirSync(path)
  return isMounted
}

/**
 * A file system that a server has for its tables, and that can be full. What else it writes is where it was: without room for its log,
 * or for the state of a slot, it would stop altogether.
 */
export class SmallDisk {
  readonly #cluster: TemporaryCluster
  readonly #path: string
  readonly #filler: string

  private constructor(cluster: TemporaryCluster, path: string) {
    this.#cluster = cluster
    this.#path = path
    this.#filler = join(path, 'filler')
  }

  /** Puts it under a server's tables. The server is stopped for it meanwhile. */
  static async under(cluster: TemporaryCluster): Promise<SmallDisk> {
    const data = await withClient(asSuperuser(cluster, 'postgres'), 'test', async (client) => {
      const found = await client.query<{ path: string }>("select current_setting('data_directory') as path")
      return found.rows[0]?.path ?? ''
    })
    const path = join(data, 'base')
    await cluster.kill()
    await rename(path, asideOf(path))
    await mkdir(path)
    await run('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', path])
    await run('cp', ['-a', `${asideOf(path)}/.`, path])
    await rm(asideOf(path), { recursive: true })
    await cluster.restart()
    return new SmallDisk(cluster, path)
  }

  /** Leaves not a page. */
  async fill(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#path)
    await run('fallocate', ['-l', String(bavail * bsize), this.#filler])
  }

  async empty(): Promise<void> {
    await rm(this.#filler, { force: true })
  }

  /** The server has its tables where they were. */
  async remove(): Promise<void> {
    await this.empty()
    await this.#cluster.kill()
    await run('cp', ['-a', this.#path, asideOf(this.#path)])
    await run('umount', [this.#path])
    await rmdir(this.#path)
    await rename(asideOf(this.#path), this.#path)
    await this.#cluster.restart()
  }
}

const asideOf = (path: string) => `${path}-aside`
