import { readFile } from 'node:fs/promises'
import { FreeholdError } from '@freehold/contract'

/**
 * Resolves a reference to a secret: `env:NAME` or `file:/path` (a trailing line break is dropped).
 *
 * @throws FreeholdError `config_invalid`, naming the reference and never the value.
 */
export async function resolveSecret(reference: string): Promise<string> {
  const [scheme, rest] = splitOnce(reference, ':')
  const value =
    scheme === 'env' ? process.env[rest] : scheme === 'file' ? await readSecretFile(rest) : undefined
  if (value === undefined || value === '') {
    throw new FreeholdError('config_invalid', `The secret ${reference} is not set.`)
  }
  return value
}

async function readSecretFile(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).replace(/\r?\n$/, '')
  } catch {
    return undefined
  }
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
