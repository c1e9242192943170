import { execFile } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { FreeholdError } from '@freehold/contract'
import { repositoryPath } from './stack/layout.ts'

/** All that a build of the console is made of. */
const SOURCES = ['apps/console', 'packages/contract/src', 'pnpm-lock.yaml']
const IGNORED = new Set(['dist', 'node_modules', 'test'])
const BUILT = 'apps/console/dist/index.html'

/**
 * Builds the admin console unless it is built and nothing of it has changed since.
 *
 * @param onBuild called when it has to be built, before the second or two that this takes.
 * @throws FreeholdError `stack_start_failed` with the end of what the build says.
 */
export async function ensureConsoleBuilt(onBuild: () => void = () => undefined): Promise<void> {
  const built = await modifiedAt(repositoryPath(BUILT))
  const changed = await Promise.all(SOURCES.map((path) => newestIn(repositoryPath(path))))
  if (built > Math.max(...changed)) return
  onBuild()
  try {
    const vite = repositoryPath('node_modules/vite/bin/vite.js')
    await promisify(execFile)(process.execPath, [vite, 'build', 'apps/console'], { cwd: repositoryPath('') })
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error)
    throw new FreeholdError('stack_start_failed', `The console could not be built:\n${said}`, {
      cause: error,
    })
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
