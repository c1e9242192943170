import { withClient } from '@freehold/postgres'
import {
  type FreeholdManifest,
  readFreeholdGrants,
  readFreeholdObjects,
} from '../../packages/doctor/src/facts/freehold-objects.ts'
import { startPreparedCluster } from '../../test/kit/control-plane.ts'
import { asSuperuser, createDataDatabase } from '../../test/kit/databases.ts'

/** What stands in Freehold's schemas once the migrations of this repository have run on an empty database. */
export async function makeFreeholdManifest(): Promise<FreeholdManifest> {
  const { cluster, passwords } = await startPreparedCluster('manifest')
  try {
    await createDataDatabase(cluster, passwords, 'pool')
    return await withClient(asSuperuser(cluster, 'pool'), 'manifest', async (client) => {
      await client.query('set search_path = pg_catalog, pg_temp')
      const objects = await readFreeholdObjects(client)
      const grants = await readFreeholdGrants(client)
      return {
        objects: Object.fromEntries(objects.map(({ key, digest, create }) => [key, { digest, create }])),
        grants: grants.map(({ key }) => key),
      }
    })
  } finally {
    await cluster.remove()
  }
}

/** The same as a module of the doctor. */
export async function renderFreeholdManifest(): Promise<string> {
  return `// Made by \`npm run manifest\` from migrations/data: what the schema freehold holds, and nothing else.
import type { FreeholdManifest } from './freehold-objects.ts'

export const FREEHOLD_MANIFEST: FreeholdManifest = ${JSON.stringify(await makeFreeholdManifest(), null, 2)}
`
}
