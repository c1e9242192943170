import { FreeholdError } from '@freehold/contract'
import {
  clientConfig,
  type DatabaseAddress,
  hasSqlState,
  isConnectionError,
  liftTimeouts,
  parseDatabaseUrl,
  resolveSecret,
  SQLSTATE,
} from '@freehold/postgres'
import pg from 'pg'

const APPLICATION = 'freehold-doctor'

export interface AddressOptions {
  /** Where the password is: `env:NAME` or `file:/path`. It comes before the URL's own and PGPASSWORD. */
  readonly passwordRef?: string
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/**
 * Reads the address of a database: `postgres://user@host:port/database?sslmode=disable`. What the URL leaves out is
 * taken from PGUSER, PGDATABASE and PGPASSWORD.
 *
 * @throws FreeholdError `config_invalid`; neither URL nor password is repeated.
 */
export async function readAddress(url: string, options: AddressOptions = {}): Promise<DatabaseAddress> {
  const environment = options.environment ?? {}
  let address: DatabaseAddress
  try {
    address = parseDatabaseUrl(url)
  } catch (error) {
    // What URL throws repeats its input.
    const reason = error instanceof TypeError && !('code' in error) ? error.message : 'it is not a URL'
    throw new FreeholdError(
      'config_invalid',
      `The address of the database is wrong: ${reason}. It has the form postgres://user@host:5432/database?sslmode=disable.`,
    )
  }
  const reference = options.passwordRef
  const password =
    reference === undefined
      ? address.password || environment.PGPASSWORD || ''
      : await resolveSecret(reference)
  const user = address.user || environment.PGUSER || ''
  const database = address.database || environment.PGDATABASE || ''
  if (user === '' || database === '' || address.host === '') {
    throw new FreeholdError(
      'config_invalid',
      'The address of the database must name a host, a user and a database.',
    )
  }
  return { ...address, user, database, password }
}

/**
 * Runs `work` with a connection of its own, on which no name means anything but PostgreSQL's own: whoever owns the
 * database may have set another search_path for it, and a superuser would run what is found there.
 *
 * @throws FreeholdError `inspected_database_unreachable`, `inspected_database_refused` or `inspection_failed`.
 */
export async function withInspectedDatabase<T>(
  address: DatabaseAddress,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  try {
    const client = new pg.Client(clientConfig(address, APPLICATION))
    client.on('error', () => undefined)
    await client.connect()
    try {
      await client.query('set search_path = pg_catalog, pg_temp')
      await liftTimeouts(client)
      return await work(client)
    } finally {
      await client.end().catch(() => undefined)
    }
  } catch (error) {
    throw explain(error, address)
  }
}

function explain(error: unknown, { host, port, user, database }: DatabaseAddress): unknown {
  if (error instanceof FreeholdError || !(error instanceof Error)) return error
  const details = { host, port, database, user }
  const where = `${host}:${port}`
  if (isRefusal(error)) {
    return new FreeholdError('inspected_database_refused', `${where}: ${error.message}.`, {
      cause: error,
      details,
    })
  }
  if (isConnectionError(error) || /SSL|certificate/i.test(error.message) || 'errors' in error) {
    const hint = /does not support SSL/.test(error.message) ? ' Add ?sslmode=disable to the address.' : ''
    const reason = error.message || ('code' in error ? String(error.code) : 'no answer')
    return new FreeholdError('inspected_database_unreachable', `${where}: ${reason}.${hint}`, {
      cause: error,
      details,
    })
  }
  if (error instanceof pg.DatabaseError) {
    return new FreeholdError('inspection_failed', `${error.message} (SQLSTATE ${error.code}).`, {
      cause: error,
      details,
    })
  }
  return error
}

function isRefusal(error: Error): boolean {
  return (
    hasSqlState(
      error,
      SQLSTATE.invalidPassword,
      SQLSTATE.invalidAuthorization,
      SQLSTATE.invalidCatalogName,
    ) || /SASL|password must be/.test(error.message)
  )
}
