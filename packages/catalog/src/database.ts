import { FreeholdError, isFreeholdError } from '@freehold/contract'
import { createPool, type DatabaseAddress, isConnectionError } from '@freehold/postgres'
import type pg from 'pg'
import type { z } from 'zod'

/** Statements on the control database, either each by itself or all inside one transaction. */
export interface Queries {
  /** The rows of a statement, each parsed by `row`. */
  all<T extends z.ZodType>(row: T, sql: string, values?: readonly unknown[]): Promise<z.output<T>[]>
  /** The first row of a statement, if there is one. */
  first<T extends z.ZodType>(
    row: T,
    sql: string,
    values?: readonly unknown[],
  ): Promise<z.output<T> | undefined>
  /** Runs a statement. @returns how many rows it changed. */
  run(sql: string, values?: readonly unknown[]): Promise<number>
}

/**
 * The control database. A server that cannot be reached, or goes away, is reported as `catalog_unavailable`;
 * what was under way then may have taken effect, so every change of the catalog is safe to repeat.
 */
export interface CatalogDatabase extends Queries {
  /** Commits when `work` returns, rolls back when it throws; errors of `work` itself pass through unchanged. */
  transaction<T>(work: (queries: Queries) => Promise<T>): Promise<T>
  /** As {@link transaction}, but nothing of it stays, and nobody is told of it. */
  rehearse<T>(work: (queries: Queries) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Every statement here is short: a server that does not answer by then is away, whatever its connection says. */
const ANSWER_TIMEOUT_MS = 10_000

export function openCatalogDatabase(
  address: DatabaseAddress,
  applicationName: string,
  max: number,
): CatalogDatabase {
  const pool = createPool(address, applicationName, max, { query_timeout: ANSWER_TIMEOUT_MS })
  return {
    ...queriesThrough(async (sql, values) => {
      const client = await connect(pool)
      const result = await client.query(sql, values).catch((error: unknown) => {
        client.release(isConnectionError(error))
        throw error
      })
      client.release()
      return result
    }),
    transaction: (work) => transaction(pool, work, 'commit'),
    rehearse: (work) => transaction(pool, work, 'rollback'),
    close: () => pool.end(),
  }
}

async function transaction<T>(
  pool: pg.Pool,
  work: (queries: Queries) => Promise<T>,
  end: 'commit' | 'rollback',
): Promise<T> {
  const client = await connect(pool)
  const queries = queriesThrough((sql, values) => client.query(sql, values))
  try {
    await queries.run('begin')
    const result = await work(queries)
    await queries.run(end)
    client.release()
    return result
  } catch (error) {
    const away = isFreeholdError(error, 'catalog_unavailable')
    const rolledBack = !away && (await client.query('rollback').then(succeeded, failed))
    client.release(!rolledBack)
    throw error
  }
}

function queriesThrough(send: (sql: string, values: unknown[]) => Promise<pg.QueryResult>): Queries {
  async function query(sql: string, values: readonly unknown[] = []): Promise<pg.QueryResult> {
    try {
      return await send(sql, [...values])
    } catch (error) {
      throw isConnectionError(error) ? unavailable(error) : error
    }
  }
  return {
    async all(row, sql, values) {
      return (await query(sql, values)).rows.map((found) => row.parse(found))
    },
    async first(row, sql, values) {
      const [found] = (await query(sql, values)).rows
      return found === undefined ? undefined : row.parse(found)
    },
    async run(sql, values) {
      return (await query(sql, values)).rowCount ?? 0
    },
  }
}

/** Whatever the reason for which no connection is to be had, the control database cannot be reached. */
async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect()
  } catch (error) {
    throw unavailable(error)
  }
}

function unavailable(cause: unknown): FreeholdError {
  return new FreeholdError('catalog_unavailable', undefined, { cause, retryAfterSeconds: 1 })
}

const succeeded = () => true
const failed = () => false
