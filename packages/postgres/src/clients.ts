import pg from 'pg'
import { clientConfig, type DatabaseAddress } from './address.ts'

const CLOSE_PATIENCE_MS = 1_000

/**
 * Runs `work` with a connection of its own, closed afterwards whatever happens. An error of the idle connection
 * is not thrown into the process: the next statement on it fails instead.
 */
export async function withClient<T>(
  address: DatabaseAddress,
  applicationName: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = await connectClient(address, applicationName)
  try {
    return await work(client)
  } finally {
    await closeClient(client)
  }
}

/**
 * Opens a connection that the caller closes. Timeouts that the server has for applications do not apply on it: what
 * it is for takes as long as it takes.
 */
export async function connectClient(
  address: DatabaseAddress,
  applicationName: string,
  options: Pick<pg.ClientConfig, 'pipeline'> = {},
): Promise<pg.Client> {
  const client = new pg.Client({ ...clientConfig(address, applicationName), ...options })
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (error) {
    // A server that refuses does not say which it is, and one that does not answer says nothing.
    if (error instanceof pg.DatabaseError || isTimeout(error))
      error.message += ` (${address.host}:${address.port})`
    throw error
  }
  await liftTimeouts(client)
  return client
}

function isTimeout(error: unknown): error is Error {
  return error instanceof Error && error.message === 'timeout expired'
}

/**
 * Closes a connection. The server takes part in that, so one that has vanished is waited for no longer than a second.
 * Never rejects.
 */
export async function closeClient(client: pg.Client): Promise<void> {
  const patience = setTimeout(() => client.connection.stream.destroy(), CLOSE_PATIENCE_MS)
  await client.end().catch(() => undefined)
  clearTimeout(patience)
}

/** Takes a session out of the timeouts that an operator has set for a role, a database or the whole server. */
export async function liftTimeouts(client: pg.ClientBase): Promise<void> {
  await client.query(
    `set statement_timeout = 0; set lock_timeout = 0; set idle_session_timeout = 0;
     set idle_in_transaction_session_timeout = 0;
     select pg_catalog.set_config('transaction_timeout', '0', false)
     where pg_catalog.current_setting('transaction_timeout', true) operator(pg_catalog.<>) '0'`,
  )
}

/** A pool of at most `max` connections. `query_timeout` says how long an answer may take (ms). */
export function createPool(
  address: DatabaseAddress,
  applicationName: string,
  max: number,
  options: Pick<pg.PoolConfig, 'query_timeout'> = {},
): pg.Pool {
  const pool = new pg.Pool({ ...clientConfig(address, applicationName), ...options, max })
  pool.on('error', () => undefined)
  // The pool listens to idle connections only; one that breaks in somebody's hands would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}

/** Runs `work` with a connection of the pool; one on which `work` threw is given back only if it still works. */
export async function withPooledClient<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  try {
    const result = await work(client)
    client.release()
    return result
  } catch (error) {
    client.release(!(error instanceof pg.DatabaseError))
    throw error
  }
}
