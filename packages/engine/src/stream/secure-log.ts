import { inTransaction } from '@freehold/postgres'
import type { ClientBase } from 'pg'

/**
 * Returns when all that can be seen now at the source would survive its crash. A transaction that commits
 * asynchronously is seen before it is safe; carried over then, it could be at the target and gone from the source.
 */
export async function secureLog(client: ClientBase, stream: string): Promise<void> {
  await inTransaction(client, async () => {
    await client.query("set local synchronous_commit = 'local'")
    await client.query("select pg_logical_emit_message(true, $1, '')", [stream])
  })
}
