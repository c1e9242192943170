import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../apps/cli/src/main.ts', import.meta.url))

/** How a command ended, and what it wrote. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `freehold` as a process of its own, against a control API. */
export async function freehold(
  args: readonly string[],
  as: { readonly url: string; readonly token: string },
): Promise<Ended> {
  const child = spawn(process.execPath, ['--conditions=@freehold/source', main, ...args], {
    env: { ...process.env, FREEHOLD_URL: as.url, FREEHOLD_TOKEN: as.token },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { code, stdout, stderr }
}
