import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EngineOptions } from '@freehold/engine'
import { migrate, withClient } from '@freehold/postgres'
import type { PreparedCluster } from '../kit/control-plane.ts'
import { asSuperuser, migrationsFolder } from '../kit/databases.ts'
import { type MovingGround, type MovingGroundOptions, prepareMovingGround } from '../kit/moving-ground.ts'

/** A moving ground whose product has the tables of `zoo.sql` as well, in the pools and in every silo. */
export interface ZooGround extends MovingGround {
  /** The older major version of the two servers: what it lacks, the zoo lacks. */
  readonly oldestVersion: number
  /** The product's migrations, the zoo's among them: a folder of the ground's own. */
  readonly product: string
  /** An engine at work that makes silos with the zoo in them. */
  zooEngine(options: Partial<Omit<EngineOptions, 'settings'>>): ReturnType<MovingGround['engine']>
}

/** A column of the zoo that PostgreSQL has since 18. */
const VIRTUAL_COLUMN = /,\n.* virtual(?=,\n)/

export async function prepareZooGround(options: MovingGroundOptions = {}): Promise<ZooGround> {
  const ground = await prepareMovingGround(options)
  const product = await mkdtemp(join(tmpdir(), 'freehold-zoo-'))
  await cp(migrationsFolder('product'), product, { recursive: true })
  const zoo = await readFile(new URL('zoo.sql', import.meta.url), 'utf8')
  const oldestVersion = Math.min(...(await Promise.all([ground.us, ground.eu].map(majorVersion))))
  await writeFile(join(product, '0004_zoo.sql'), oldestVersion < 18 ? zoo.replace(VIRTUAL_COLUMN, '') : zoo)
  for (const on of [ground.us, ground.eu]) {
    await withClient(on.as('freehold_owner', 'pool'), 'test', (owner) => migrate(owner, product, 'product'))
  }
  return {
    ...ground,
    oldestVersion,
    product,
    zooEngine(options) {
      const engine = ground.engine({
        ...options,
        settings: { migrations: { freehold: migrationsFolder('data'), product } },
      })
      engine.start()
      return engine
    },
    async remove() {
      await ground.remove()
      await rm(product, { recursive: true })
    },
  }
}

async function majorVersion({ cluster }: PreparedCluster): Promise<number> {
  return withClient(asSuperuser(cluster, 'postgres'), 'test', async (client) => {
    const { rows } = await client.query("select current_setting('server_version_num')::int / 10000 as major")
    return rows[0].major
  })
}
