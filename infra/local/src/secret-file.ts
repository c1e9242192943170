import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/** A random secret of 192 bits, in characters that need no quoting in a URL, a shell or SQL. */
export function randomSecret(): string {
  return randomBytes(24).toString('base64url')
}

/**
 * The secret in a file, made at random the first time. Only the owner can read the file. Processes that ask at
 * the same time get the same secret.
 */
export async function ensureSecretFile(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  await writeFile(draft, randomSecret(), { mode: 0o600 })
  try {
    // A link appears whole or not at all, and never replaces a secret that is in use already.
    await link(draft, path)
  } catch (error) {
    if (!isExistsError(error)) throw error
  } finally {
    await rm(draft)
  }
  return await readFile(path, 'utf8')
}

function isExistsError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST'
}
