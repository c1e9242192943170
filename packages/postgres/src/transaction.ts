import type { ClientBase } from 'pg'

/**
 * Runs `work` inside a transaction of `client`: committed when it returns, rolled back when it throws.
 *
 * @param begin the statement that begins it, when the default isolation level will not do.
 */
export async function inTransaction<T>(
  client: ClientBase,
  work: () => Promise<T>,
  begin = 'begin',
): Promise<T> {
  await client.query(begin)
  let result: T
  try {
    result = await work()
  } catch (error) {
    // A connection that broke cannot be rolled back, and need not be; the first error is the one that matters.
    await client.query('rollback').catch(() => undefined)
    throw error
  }
  await client.query('commit')
  return result
}
