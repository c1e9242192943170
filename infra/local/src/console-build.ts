import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { FreeholdError } from '@freehold/contract'
import { repositoryPath } from './stack/layout.ts'

/** All that a build of the console is made of. */
const SOURCES = ['apps/console', 'packages/contract/src', 'pnpm-lock.yaml']
const IGNORED = new Set(['dist', 'node_modules', 'test'])
const BUILT = 'apps/console/dist/index.html'
/** No build takes that long. */
const LEFT_OVER_MS = 3_600_000

export interface ConsoleBuildOptions {
  /** Called when it has to be built, before the second or two that this takes. */
  readonly onBuild?: () => void
  /** Ends the build at once. */
  readonly signal?: AbortSignal
}

/**
 * Builds the admin console unless it is built and nothing of it has changed since.
 *
 * @throws FreeholdError `stack_start_failed` with the end of what the build says; the reason of the signal when that ends it.
 */
export async function ensureConsoleBuilt({ onBuild, signal }: ConsoleBuildOptions = {}): Promise<void> {
  const built = await modifiedAt(repositoryPath(BUILT))
  const changed = await Promise.all(SOURCES.map((path) => newestIn(repositoryPath(path))))
  if (built > Math.max(...changed)) return
  onBuild?.()
  await buildConsole({ signal })
}

/**
 * Builds the admin console, into its own folder unless told otherwise. What is there is whole, whoever else builds it or is ended while
 * building; for the moment between two renames there is nothing.
 *
 * @throws as {@link ensureConsoleBuilt}
 */
export async function buildConsole({
  signal,
  folder = repositoryPath('apps/console/dist'),
}: {
  readonly signal?: AbortSignal | undefined
  readonly folder?: string
}): Promise<void> {
  const room = repositoryPath('apps/console/node_modules/.freehold-build')
  await mkdir(room, { recursive: true })
  await removeLeftOvers(room)
  const made = await mkdtemp(join(room, 'build-'))
  try {
    await runBuild(join(made, 'new'), signal)
    await rename(folder, join(made, 'old')).catch(ignoreWhen('ENOENT'))
    // Somebody else's is as new as ours.
    await rename(join(made, 'new'), folder).catch(ignoreWhen('ENOTEMPTY', 'EEXIST'))
  } finally {
    await rm(made, { recursive: true, force: true })
  }
}

/** What builds have left that were killed. */
async function removeLeftOvers(room: string): Promise<void> {
  for (const name of await readdir(room)) {
    const begun = await modifiedAt(join(room, name))
    if (Date.now() - begun > LEFT_OVER_MS) await rm(join(room, name), { recursive: true, force: true })
  }
}

/** Resolves when the build has ended, whatever has ended it. */
async function runBuild(folder: string, signal: AbortSignal | undefined): Promise<void> {
  const vite = repositoryPath('node_modules/vite/bin/vite.js')
  const args = [vite, 'build', 'apps/console', '--outDir', folder, '--emptyOutDir']
  const build = promisify(execFile)(process.execPath, args, { cwd: repositoryPath('') })
  const ended = new Promise((resolve) => build.child.once('close', resolve))
  const end = () => build.child.kill('SIGKILL')
  signal?.addEventListener('abort', end)
  try {
    if (signal?.aborted) end()
    await build
  } catch (error) {
    await ended
    signal?.throwIfAborted()
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error)
    throw new FreeholdError('stack_start_failed', `The console could not be built:\n${said}`, {
      cause: error,
    })
  } finally {
    signal?.removeEventListener('abort', end)
  }
}

function ignoreWhen(...codes: readonly string[]): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof Error && 'code' in error && codes.some((code) => code === error.code))) throw error
  }
}

/** When the newest file of a tree, or the file, was modified; 0 when there is none. */
async function newestIn(path: string): Promise<number> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => undefined)
  if (entries === undefined) return await modifiedAt(path)
  const times = entries
    .filter((entry) => !IGNORED.has(entry.name))
    .map((entry) =>
      entry.isDirectory() ? newestIn(join(path, entry.name)) : modifiedAt(join(path, entry.name)),
    )
  return Math.max(0, ...(await Promise.all(times)))
}

async function modifiedAt(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.mtimeMs ?? 0
}
