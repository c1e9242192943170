import type { DatabaseConnection, Kysely } from 'kysely'
import { TenantConnection } from '../entry/tenant-connection.ts'

/** Runs `work` with what Kysely runs its queries with: inside a transaction, that of the transaction. */
export function withTenantConnection<DB, T>(
  db: Kysely<DB>,
  work: (connection: TenantConnection) => Promise<T>,
): Promise<T> {
  return db.getExecutor().provideConnection(async (connection) => work(own(connection)))
}

/** The same for as long as somebody reads. */
export async function* withTenantConnectionWhile<DB, T>(
  db: Kysely<DB>,
  work: (connection: TenantConnection) => AsyncGenerator<T, void>,
): AsyncGenerator<T, void> {
  const got = Promise.withResolvers<TenantConnection>()
  const finished = Promise.withResolvers<void>()
  const lent = withTenantConnection(db, async (connection) => {
    got.resolve(connection)
    await finished.promise
  }).catch(got.reject)
  try {
    yield* work(await got.promise)
  } finally {
    finished.resolve()
    await lent
  }
}

function own(connection: DatabaseConnection): TenantConnection {
  if (connection instanceof TenantConnection) return connection
  throw new TypeError('That is not a Kysely instance of the router.')
}
