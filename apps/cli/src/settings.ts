import { readFile } from 'node:fs/promises'
import { FreeholdError } from '@freehold/contract'

/** Where the control API is, and as whom it is asked. */
export interface Connection {
  readonly url: string
  readonly token: string
}

export interface ConnectionOptions {
  readonly url?: string
  readonly token?: string
  readonly tokenFile?: string
}

const DEFAULT_URL = 'http://127.0.0.1:3000'

/**
 * Options come before the environment, a token before a file.
 *
 * @throws FreeholdError `config_invalid` when the URL is none or a file cannot be read, `unauthenticated` without a
 * token.
 */
export async function readConnection(
  options: ConnectionOptions,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Connection> {
  const url = options.url || environment.FREEHOLD_URL || DEFAULT_URL
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new FreeholdError(
      'config_invalid',
      `--url or FREEHOLD_URL: ${url} is not an http:// or https:// URL.`,
    )
  }
  return { url: url.replace(/\/+$/, ''), token: await readToken(options, environment) }
}

async function readToken(
  options: ConnectionOptions,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  if (options.token) return options.token
  if (options.tokenFile) return readTokenFile(options.tokenFile)
  if (environment.FREEHOLD_TOKEN) return environment.FREEHOLD_TOKEN
  if (environment.FREEHOLD_TOKEN_FILE) return readTokenFile(environment.FREEHOLD_TOKEN_FILE)
  throw new FreeholdError('unauthenticated', 'Set FREEHOLD_TOKEN, or use --token or --token-file.')
}

async function readTokenFile(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (cause) {
    throw new FreeholdError('config_invalid', `The token file ${path} cannot be read.`, { cause })
  }
}
