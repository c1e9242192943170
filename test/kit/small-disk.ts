import { execFile } from 'node:child_process'
import { rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TemporaryCluster } from '@freehold/local'
import { withClient } from '@freehold/postgres'
import { asSuperuser } from './databases.ts'

const run = promisify(execFile)
const SIZE = '600m'

/** Whether this process may mount a file system. */
export const canMount = process.platform === 'linux' && process.getuid?.() === 0

/** A file system that a server has for itself, log and all, and that can be full. */
export class SmallDisk {
  readonly #cluster: TemporaryCluster
  readonly #path: string
  readonly #filler: string

  private constructor(cluster: TemporaryCluster, path: string) {
    this.#cluster = cluster
    this.#path = path
    this.#filler = join(path, 'filler')
  }

  /** Puts it under a server's data, which is stopped for it meanwhile. */
  static async under(cluster: TemporaryCluster): Promise<SmallDisk> {
    const path = await withClient(asSuperuser(cluster, 'postgres'), 'test', async (client) => {
      const found = await client.query<{ path: string }>("select current_setting('data_directory') as path")
      return found.rows[0]?.path ?? ''
    })
    await cluster.kill()
    const aside = `${path}-aside`
    await run('cp', ['-a', path, aside])
    await run('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', path])
    await run('cp', ['-a', `${aside}/.`, path])
    await rm(aside, { recursive: true })
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

  /** The server has its data where they were, as they were before. */
  async remove(): Promise<void> {
    await this.#cluster.kill()
    await run('umount', [this.#path])
    await this.#cluster.restart()
  }
}
