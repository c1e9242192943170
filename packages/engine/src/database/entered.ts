import { type DatabaseAddress, inTransaction } from '@freehold/postgres'
import type { ClientBase } from 'pg'

/** One tenant in one data database, and how the mover reaches it there. */
export interface TenantScope {
  readonly tenantId: string
  readonly epoch: number
  readonly entryKey: string
  /** Where its tables are: `public` for the shared tables and a silo's, or a schema of its own. */
  readonly schema: string
  /** As freehold_mover. */
  readonly mover: DatabaseAddress
}

/**
 * Begins the mover's work as a tenant in the open transaction: from here row security shows, and lets write, this
 * tenant's rows only. The mover owns no table and may not bypass row security, so an error in it cannot reach
 * another tenant.
 */
export async function enterAsMover(
  client: ClientBase,
  { entryKey, schema }: Pick<TenantScope, 'entryKey' | 'schema'>,
): Promise<void> {
  if (schema === 'public') await client.query(ENTER, [entryKey])
  else await client.query(`${ENTER}, ${FIND_IN}`, [entryKey, schema])
}

const ENTER = "select set_config('freehold.entry', $1, true)"
/** Beside the entry, so that entering is one statement and others can be sent behind it. */
const FIND_IN = "set_config('search_path', quote_ident($2) || ', public', true)"

/**
 * Has the open transaction find the names of a tenant's own schema bare, as the product's tables and types are named
 * there. In the shared tables the database's own search path stands.
 */
export async function useSchema(client: ClientBase, schema: string): Promise<void> {
  if (schema === 'public') return
  await client.query("select set_config('search_path', quote_ident($1) || ', public', true)", [schema])
}

/** Runs `work` in a transaction entered as the tenant. */
export async function asTenant<T>(
  client: ClientBase,
  scope: TenantScope,
  work: () => Promise<T>,
  begin?: string,
): Promise<T> {
  return inTransaction(
    client,
    async () => {
      await enterAsMover(client, scope)
      return work()
    },
    begin,
  )
}
