import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { FreeholdError } from '@freehold/contract'
import type { PostgresBinaries } from './postgres-binaries.ts'
import type { PostgresVersion } from './postgres-versions.ts'
import { randomSecret } from './secret-file.ts'
import { canEnter, runAs, type ServerUser } from './server-user.ts'

/** Where root keeps the data of checkouts that the server's user cannot enter. */
const ELSEWHERE = '/var/lib/freehold'

export const SUPERUSER = 'postgres'

/** The files of one cluster that outlive its server. */
export interface DataDirectory {
  /** PostgreSQL's own data directory. */
  readonly pgdata: string
  readonly superuserPassword: string
}

/** Where the data of the cluster in `directory` are, or will be. */
export function pgdataOf(directory: string): string {
  return join(directory, 'data', 'pgdata')
}

/**
 * Opens the data of the cluster in `directory`, made by initdb the first time.
 *
 * `<directory>/data` holds `pgdata` and `superuser-password` and appears complete or not at all: a start that
 * was interrupted leaves nothing that a later one would trip over. When the server's user cannot enter
 * `directory` (root works in a checkout that is closed to others), `data` is a symbolic link to a directory
 * under /var/lib/freehold; remove it with {@link removeData}.
 */
export async function openDataDirectory(
  directory: string,
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
): Promise<DataDirectory> {
  const data = join(directory, 'data')
  if (!(await exists(data))) await createData(directory, user, (home) => initialise(home, binaries, user))
  const home = await realpath(data)
  const pgdata = join(home, 'pgdata')
  if (!(await canEnter(user, pgdata))) {
    throw new FreeholdError('stack_start_failed', `The data in ${pgdata} belong to another user.`)
  }
  return { pgdata, superuserPassword: await readFile(join(home, 'superuser-password'), 'utf8') }
}

/** Makes the data of the cluster in `directory`, which has none yet, a copy of those of a cluster that was never started. */
export async function copyDataDirectory(
  from: string,
  directory: string,
  user: ServerUser | undefined,
): Promise<void> {
  await createData(directory, user, async (home) => {
    // By a program, because it keeps the owner and needs a fraction of the time.
    const result = await runAs(undefined, 'cp', ['-a', `${join(from, 'data')}/.`, home])
    if (!result.ok)
      throw new FreeholdError('stack_start_failed', `The data were not copied: ${result.output}`)
  })
}

/** Removes everything of a stopped cluster, also the data that lie elsewhere. */
export async function removeData(directory: string): Promise<void> {
  const home = await realpath(join(directory, 'data')).catch(() => undefined)
  if (home !== undefined) await rm(home, { recursive: true, force: true })
  await rm(directory, { recursive: true, force: true })
}

async function createData(
  directory: string,
  user: ServerUser | undefined,
  fill: (home: string) => Promise<void>,
): Promise<void> {
  await mkdir(directory, { recursive: true })
  const data = join(directory, 'data')
  const staging = await makeHome(directory, user)
  try {
    await fill(staging)
    if (staging.startsWith(ELSEWHERE)) await symlink(staging, data)
    else await rename(staging, data)
  } catch (error) {
    await rm(staging, { recursive: true, force: true })
    // Another process may have been faster: then its data are those of the cluster.
    if (!(await exists(data))) throw error
  }
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined
}

/** An empty directory that `user` can enter, inside `directory` if possible. */
async function makeHome(directory: string, user: ServerUser | undefined): Promise<string> {
  const home = await mkdtemp(join(directory, 'data-'))
  if (user === undefined) return home
  await chmod(home, 0o755)
  if (await canEnter(user, home)) return home
  await rm(home, { recursive: true })

  await mkdir(ELSEWHERE, { recursive: true })
  await chmod(ELSEWHERE, 0o755)
  const elsewhere = await mkdtemp(join(ELSEWHERE, 'data-'))
  await chmod(elsewhere, 0o755)
  return elsewhere
}

async function initialise(
  home: string,
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
): Promise<void> {
  const pgdata = join(home, 'pgdata')
  const passwordFile = join(home, 'superuser-password')
  await mkdir(pgdata, { mode: 0o700 })
  await writeFile(passwordFile, randomSecret(), { mode: 0o600 })
  if (user !== undefined) {
    await chown(pgdata, user.uid, user.gid)
    await chown(passwordFile, user.uid, user.gid)
  }
  const result = await runAs(user, binaries.initdb, [
    `--pgdata=${pgdata}`,
    `--username=${SUPERUSER}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    ...localeArguments(binaries.version),
    '--no-instructions',
    // Nothing of value is in it yet, and the first checkpoint of the server syncs what it writes.
    '--no-sync',
  ])
  if (!result.ok) throw new FreeholdError('stack_start_failed', `initdb failed: ${result.output}`)
}

/**
 * The built-in provider, which PostgreSQL has since 17, sorts by code point and does not change with the machine's C
 * library. That library's own locale of the same name sorts alike.
 */
function localeArguments(version: PostgresVersion): readonly string[] {
  if (version < 17) return ['--locale=C.UTF-8']
  return ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
}
