import { copyFile, cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { EngineOptions } from '@freehold/engine'
import { migrate, withClient } from '@freehold/postgres'
import { migrationsFolder } from '../kit/databases.ts'
import { type MovingGround, prepareMovingGround } from '../kit/moving-ground.ts'

/** A moving ground whose product has the tables of `zoo.sql` as well, in the pools and in every silo. */
export interface ZooGround extends MovingGround {
  /** An engine at work that makes silos with the zoo in them. */
  zooEngine(options: Partial<Omit<EngineOptions, 'settings'>>): ReturnType<MovingGround['engine']>
}

export async function prepareZooGround(): Promise<ZooGround> {
  const ground = await prepareMovingGround()
  const product = await mkdtemp(join(tmpdir(), 'freehold-zoo-'))
  await cp(migrationsFolder('product'), product, { recursive: true })
  await copyFile(fileURLToPath(new URL('zoo.sql', import.meta.url)), join(product, '0004_zoo.sql'))
  for (const on of [ground.us, ground.eu]) {
    await withClient(on.as('freehold_owner', 'pool'), 'test', (owner) => migrate(owner, product, 'product'))
  }
  return {
    ...ground,
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
