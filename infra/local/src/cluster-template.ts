import { copyDataDirectory, openDataDirectory, pgdataOf } from './data-directory.ts'
import { findPostgresBinaries } from './postgres-binaries.ts'
import { chooseServerUser } from './server-user.ts'

/**
 * Gives the cluster in `directory`, which has not been started yet, data that are a copy of those in the folder that the
 * environment names FREEHOLD_CLUSTER_TEMPLATE, password included: a run of many test files pays for one initdb, a copy takes a
 * tenth of its time. The first to come makes that folder. Does nothing when the environment names none.
 */
export async function startFromTemplate(directory: string): Promise<void> {
  const template = process.env.FREEHOLD_CLUSTER_TEMPLATE
  if (template === undefined) return
  const user = await chooseServerUser(pgdataOf(template))
  await openDataDirectory(template, await findPostgresBinaries(user), user)
  await copyDataDirectory(template, directory, user)
}
