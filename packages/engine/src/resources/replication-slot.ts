import { hasSqlState, retry, SQLSTATE } from '@freehold/postgres'
import type { ClientBase } from 'pg'

/**
 * Drops a replication slot, if there is one. A slot whose reader has just died stays in use until the server has
 * noticed; that reader is ended first.
 *
 * @param mover connected as freehold_mover, to whom the reader belongs.
 */
export async function dropReplicationSlot(mover: ClientBase, name: string): Promise<void> {
  await retry(
    async () => {
      await mover.query(
        'select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1 and active',
        [name],
      )
      await mover.query(
        'select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1',
        [name],
      )
    },
    { when: (error) => hasSqlState(error, SQLSTATE.objectInUse), attempts: 8, firstDelayMs: 20 },
  )
}
