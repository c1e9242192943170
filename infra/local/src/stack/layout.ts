import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { clusterIdSchema, jurisdictionSchema, type RegionId, regionIdSchema } from '@freehold/contract'

/** The regions of the embedded stack; each is a jurisdiction of its own and has one cluster. */
export const REGIONS = [region('us', 'United States'), region('eu', 'European Union')] as const

export type StackRegion = ReturnType<typeof region>

/** The control database and the queue live beside the first region's tenants. */
export const CONTROL_REGION = REGIONS[0]

export const DATABASES = { catalog: 'freehold_catalog', queue: 'freehold_queue', pool: 'pool' } as const

const root = new URL('../../../../', import.meta.url)

/** A file or folder of the repository. */
export function repositoryPath(path: string): string {
  return fileURLToPath(new URL(path, root))
}

export const MIGRATIONS = {
  catalog: repositoryPath('migrations/catalog'),
  data: repositoryPath('migrations/data'),
  product: repositoryPath('migrations/product'),
} as const

/** Where the stack in `directory` keeps what. */
export function stackPaths(directory: string) {
  return {
    secrets: join(directory, 'secrets'),
    state: join(directory, 'state.json'),
    lock: join(directory, 'stack.pid'),
    cluster: (name: string) => join(directory, 'clusters', name),
  }
}

function region(name: string, title: string) {
  const id: RegionId = regionIdSchema.parse(name)
  return {
    id,
    title,
    jurisdiction: jurisdictionSchema.parse(name),
    cluster: clusterIdSchema.parse(`${name}-1`),
  }
}
