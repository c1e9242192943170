import { setTimeout as sleep } from 'node:timers/promises'
import type { TenantId } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import type { FreeholdDatabase, Router } from '@freehold/tenancy'
import { type Kysely, sql } from 'kysely'
import { createItemsDatabase, type TestDatabase } from '../../../test/kit/tenants.ts'
import { until } from '../../../test/kit/until.ts'
import { prepareRouterGround, type RouterGround } from './router-ground.ts'

export const DATABASES = 7
export const MAX_CONNECTIONS = 4
const PATIENCE_MS = 60_000

/** More databases than a router may have connections. */
export interface BudgetGround extends RouterGround<FreeholdDatabase> {
  readonly databases: readonly TestDatabase[]
  readonly first: TestDatabase
  readonly second: TestDatabase
  /** One tenant in every database. */
  readonly residents: readonly TenantId[]
}

export async function prepareBudgetGround(name: string): Promise<BudgetGround> {
  const ground = await prepareRouterGround(name, {
    maxConnections: MAX_CONNECTIONS,
    connectionWaitMs: PATIENCE_MS,
  })
  const databases: TestDatabase[] = []
  for (let n = 0; n < DATABASES; n++) databases.push(await createItemsDatabase(ground.prepared, `data_${n}`))
  const [first, second] = databases as [TestDatabase, TestDatabase]
  return {
    ...ground,
    databases,
    first,
    second,
    residents: await Promise.all(databases.map((database) => ground.newTenant(database))),
  }
}

export const read = (db: Kysely<FreeholdDatabase>) => db.selectFrom('items').select('id').execute()
export const slowly = (db: Kysely<FreeholdDatabase>, ms: number) =>
  db.selectNoFrom(sql<number>`length(pg_sleep(${sql.lit(ms / 1_000)})::text)`.as('slept')).execute()

/** Asks a database's server over and over how many sessions there are beside the asker's, until told to stop. */
export async function watchSessions({ superuser }: TestDatabase): Promise<{ stop(): Promise<number> }> {
  let most = 0
  let watching = true
  const { promise: begun, resolve } = Promise.withResolvers<void>()
  const watched = withClient({ ...superuser, database: 'postgres' }, 'test-watch', async (client) => {
    while (watching) {
      const { rows } = await client.query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity
         where backend_type = 'client backend' and pid <> pg_backend_pid()`,
      )
      most = Math.max(most, rows[0]?.n ?? 0)
      resolve()
      await sleep(1)
    }
  })
  await begun
  return {
    async stop() {
      watching = false
      await watched
      return most
    },
  }
}

/** Every connection is back, and nobody waits for one. */
export const settled = (router: Router) =>
  until(() => {
    const { used, idle, waiting } = router.metrics().connections
    return waiting === 0 && used === idle
  }, 'every connection is back')

/** A transaction that stays open until it is told to end. */
export async function occupy(db: Kysely<FreeholdDatabase>): Promise<{ end(): Promise<void> }> {
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>()
  const { promise: leaving, resolve: leave } = Promise.withResolvers<void>()
  const working = db.transaction().execute(async (trx) => {
    await read(trx)
    enter()
    await leaving
    await read(trx)
  })
  await Promise.race([entered, working])
  return {
    async end() {
      leave()
      await working
    },
  }
}
