import type { Lease } from '@freehold/catalog'
import type { ClientBase } from 'pg'

const compact = ({ id }: Lease) => id.replaceAll('-', '')

/** What a connection calls itself that only one lease may use, and that its successors end. */
export function connectionName(purpose: 'move' | 'provision' | 'turn', lease: Lease): string {
  return `freehold-${purpose} ${compact(lease)}_${lease.token}`
}

/**
 * Ends what former leases of the operation have open on this server as the same role. Of another operation, of this lease
 * and of a newer one it ends nothing, so that a worker whose lease was taken cannot end its successor's.
 */
export async function endFormerConnections(client: ClientBase, lease: Lease): Promise<void> {
  if (lease.token === 1) return
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where usename = current_user and application_name ~ ('^freehold-[a-z]+ ' || $1 || '_[0-9]+$')
       and substring(application_name from '[0-9]+$')::numeric < $2`,
    [compact(lease), lease.token],
  )
}
