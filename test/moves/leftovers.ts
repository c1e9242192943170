import type { MoveDetail } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { asSuperuser } from '../kit/databases.ts'
import type { MovingGround } from '../kit/moving-ground.ts'

/** What an ended move has left: entries of the ledger, slots and publications in `us`, and its target database. */
export async function leftovers(ground: MovingGround, { to }: MoveDetail): Promise<unknown[]> {
  const ledger = await ground.catalog.ledger.unreleased()
  const atSource = await withClient(asSuperuser(ground.us.cluster, 'pool'), 'test', async (client) => [
    ...(await client.query('select slot_name from pg_replication_slots')).rows,
    ...(await client.query('select pubname from pg_publication')).rows,
  ])
  const atTarget = await withClient(asSuperuser(ground.eu.cluster, 'postgres'), 'test', (client) =>
    client.query('select datname from pg_database where datname = $1', [to.database]),
  )
  return [...ledger, ...atSource, ...atTarget.rows]
}
