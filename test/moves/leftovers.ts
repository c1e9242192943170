import type { MoveDetail } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { asSuperuser } from '../kit/databases.ts'
import { moveTraces } from '../kit/move-traces.ts'
import type { MovingGround } from '../kit/moving-ground.ts'

/** What an ended move has left: entries of the ledger, slots in `us` and {@link moveTraces} in its pool, and its target database. */
export async function leftovers(ground: MovingGround, { to }: MoveDetail): Promise<unknown[]> {
  const ledger = await ground.catalog.ledger.unreleased()
  const source = asSuperuser(ground.us.cluster, 'pool')
  const slots = await withClient(source, 'test', (client) =>
    client.query('select slot_name from pg_replication_slots'),
  )
  const atTarget = await withClient(asSuperuser(ground.eu.cluster, 'postgres'), 'test', (client) =>
    client.query('select datname from pg_database where datname = $1', [to.database]),
  )
  return [...ledger, ...slots.rows, ...(await moveTraces(source)), ...atTarget.rows]
}
