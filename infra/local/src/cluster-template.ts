import { join } from 'node:path'
import { copyDataDirectory, openDataDirectory, pgdataOf } from './data-directory.ts'
import { findPostgresBinaries } from './postgres-binaries.ts'
import { BUNDLED_VERSION, type PostgresVersion } from './postgres-versions.ts'
import { chooseServerUser } from './server-user.ts'

/**
 * Gives the cluster in `directory`, which has not been started yet, data that are a copy of those for its version in the folder
 * that the environment names FREEHOLD_CLUSTER_TEMPLATE, password included: a run of many test files pays for one initdb, a copy
 * takes a tenth of its time. The first to come makes them. Does nothing when the environment names no folder.
 */
export async function startFromTemplate(
  directory: string,
  version: PostgresVersion = BUNDLED_VERSION,
): Promise<void> {
  const templates = process.env.FREEHOLD_CLUSTER_TEMPLATE
  if (templates === undefined) return
  const template = join(templates, `${version}`)
  const user = await chooseServerUser(pgdataOf(template))
  await openDataDirectory(template, await findPostgresBinaries(user, version), user)
  await copyDataDirectory(template, directory, user)
}
