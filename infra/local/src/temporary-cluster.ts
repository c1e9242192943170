import { chmod, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startFromTemplate } from './cluster-template.ts'
import { removeData } from './data-directory.ts'
import { type Cluster, startCluster } from './postgres-cluster.ts'
import { BUNDLED_VERSION, type PostgresVersion } from './postgres-versions.ts'

/** A cluster whose data end with it. */
export interface TemporaryCluster extends Cluster {
  /** Stops the server and removes its data. */
  remove(): Promise<void>
}

/**
 * Starts a new, empty cluster for tests, without the syncs that would protect it against a crash of the machine.
 *
 * @param version of the server; what another one than the bundled needs is installed with `npm test` and `npm run bench`.
 */
export async function startTemporaryCluster(
  name: string,
  settings: Readonly<Record<string, string>> = {},
  version: PostgresVersion = BUNDLED_VERSION,
): Promise<TemporaryCluster> {
  const directory = await mkdtemp(join(tmpdir(), `freehold-${name}-`))
  await chmod(directory, 0o755)
  try {
    await startFromTemplate(directory, version)
    const cluster = await startCluster({ name, directory, durability: 'fast', settings, version })
    return Object.assign(cluster, {
      async remove() {
        await cluster.stop('immediate')
        await removeData(directory)
      },
    })
  } catch (error) {
    await removeData(directory)
    throw error
  }
}
