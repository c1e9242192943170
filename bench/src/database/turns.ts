import type { Tenant } from '@freehold/contract'
import { quoteIdentifier, withClient } from '@freehold/postgres'
import { asSuperuser, createDatabase } from '../../../test/kit/databases.ts'
import type { MovingGround } from '../../../test/kit/moving-ground.ts'
import { databaseOf } from '../../../test/kit/tenant-places.ts'
import { countRows, tenantTables } from '../move/tenant-tables.ts'
import { secondsBetween, type TimedPhases, timeMove } from '../moving/timed-move.ts'
import { pgcopydbClone } from './pgcopydb.ts'

/** What a move of a whole database took, in seconds. */
export interface EngineMove {
  /** From the request to the new home. */
  readonly seconds: number
  /** From the request to the removal of the database that was left. */
  readonly removedSeconds: number
  readonly phases: TimedPhases
  readonly rows: number
}

/** Moves the tenant with its database to the other server, for good. */
export async function moveOn(ground: MovingGround, tenant: Tenant, signal: AbortSignal): Promise<EngineMove> {
  const home = await ground.catalog.placements.home(tenant.id)
  const { move, startedAt, last, phases } = await timeMove(ground, tenant, {}, signal, elsewhere(home.region))
  return {
    seconds: secondsBetween(startedAt, last('finalize.entered')),
    removedSeconds: secondsBetween(startedAt, last('completed.entered')),
    phases: phases(),
    rows: move.progress.rowsCopied,
  }
}

/** @throws Error when not all rows have arrived: nobody is fast by being wrong. */
export async function cloneSeconds(
  ground: MovingGround,
  tenant: Tenant,
  signal: AbortSignal,
): Promise<number> {
  const home = await ground.catalog.placements.home(tenant.id)
  const source = databaseOf(ground, home)
  const to = ground[elsewhere(home.region)]
  const name = 'pgcopydb_clone'
  await createDatabase(to.cluster, name)
  try {
    const target = asSuperuser(to.cluster, name)
    const startedAt = performance.now()
    await pgcopydbClone(source, target, signal)
    const seconds = secondsBetween(startedAt, performance.now())
    const copied = await countRows(target, await tenantTables(target))
    const wanted = await countRows(source, await tenantTables(source))
    if (copied !== wanted) throw new Error(`pgcopydb has copied ${copied} rows of ${wanted}`)
    return seconds
  } finally {
    await withClient(asSuperuser(to.cluster, 'postgres'), 'bench', (client) =>
      client.query(`drop database ${quoteIdentifier(name)} with (force)`),
    )
  }
}

/** Leaves nothing for the servers to catch up with. */
export async function settle(ground: MovingGround, tenant: Tenant): Promise<void> {
  const home = databaseOf(ground, await ground.catalog.placements.home(tenant.id))
  await withClient(home, 'bench', (client) => client.query('vacuum (analyze)'))
  for (const { cluster } of [ground.us, ground.eu]) {
    await withClient(asSuperuser(cluster, 'postgres'), 'bench', (client) => client.query('checkpoint'))
  }
}

function elsewhere(region: string): 'us' | 'eu' {
  return region === 'us' ? 'eu' : 'us'
}
