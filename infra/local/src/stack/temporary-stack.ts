import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startFromTemplate } from '../cluster-template.ts'
import { removeData } from '../data-directory.ts'
import { REGIONS, stackPaths } from './layout.ts'
import { type Stack, type StackOptions, startStack } from './stack.ts'

/** A stack whose data end with it. */
export interface TemporaryStack extends Stack {
  /** Stops everything and removes the data. */
  remove(): Promise<void>
}

/** Starts a new stack in a folder of its own for temporary files. When it does not start, the folder is removed. */
export async function startTemporaryStack(
  name: string,
  options: Omit<StackOptions, 'directory'> = {},
): Promise<TemporaryStack> {
  const directory = await mkdtemp(join(tmpdir(), `freehold-${name}-`))
  // As root, the database servers run as another user, who must get at their data.
  await chmod(directory, 0o755)
  try {
    for (const { cluster } of REGIONS) await startFromTemplate(stackPaths(directory).cluster(cluster))
    const stack = await startStack({ ...options, directory })
    return Object.assign(stack, {
      async remove() {
        await stack.stop()
        await removeStackData(directory)
      },
    })
  } catch (error) {
    await removeStackData(directory)
    throw error
  }
}

async function removeStackData(directory: string): Promise<void> {
  for (const { cluster } of REGIONS) await removeData(stackPaths(directory).cluster(cluster))
  await rm(directory, { recursive: true, force: true })
}
