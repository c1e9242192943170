import type { Isolation, TenantId } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { createRouter, type Router, type RouterOptions } from '@freehold/tenancy'
import type { Generated, Kysely } from 'kysely'
import t, { type Test } from 'tap'
import { type PreparedCluster, startPreparedCluster } from '../../kit/control-plane.ts'
import {
  ControlledSource,
  createItemsDatabase,
  createOwnSchema,
  newTenantId,
  setResident,
  type TestDatabase,
  testEntryKey,
  testEntrySecret,
} from '../../kit/tenants.ts'

export interface Tables {
  items: { id: number; name: string; quantity: Generated<number> }
}

/** A tenant, and where it lives. */
export interface Inhabitant {
  readonly id: TenantId
  readonly home: TestDatabase
  /** Its own schema; null: the shared tables, or a database of its own. */
  readonly schema: string | null
  /** The key with which it enters its home. */
  readonly key: string
}

/** Two tenants of one isolation: in shared tables, in schemas of one database, or in a database each. */
export interface LeakGround {
  readonly isolation: Isolation
  readonly attacker: Inhabitant
  readonly victim: Inhabitant
  /**
   * Who gets the victim's connection when the victim is done with it: the attacker; with a database each, only another
   * request of the victim's.
   */
  readonly successor: Inhabitant
  /**
   * Rows of the victim, as SQL that runs in the attacker's home can name their table. In the attacker's silo they are
   * what a restore or a move that was broken off has left there.
   */
  readonly foreignItems: string
  /** Stands in the name of every row of the victim's, and nowhere else. */
  readonly marker: string
  readonly source: ControlledSource
  /** A router with one connection to each database, so that tenants follow each other on it. */
  router(options?: Partial<RouterOptions>): Router<Tables>
  /** Gives both tenants their rows back: 1 to 3, and the victim's fourth. */
  refill(): Promise<void>
}

/** Looks at whatever is in a database, past row security. */
export async function asSuperuser<R extends object = Record<string, unknown>>(
  database: TestDatabase,
  text: string,
): Promise<R[]> {
  return withClient(database.superuser, 'test', async (client) => (await client.query<R>(text)).rows)
}

export async function readNames(db: Kysely<Tables>): Promise<string[]> {
  const rows = await db.selectFrom('items').select('name').orderBy('id').execute()
  return rows.map(({ name }) => name)
}

const MARKER = 'marker-of-the-victim'

async function lay(on: PreparedCluster, isolation: Isolation): Promise<LeakGround> {
  const home = await createItemsDatabase(on, `${isolation}_home`)
  const victimHome = isolation === 'silo' ? await createItemsDatabase(on, 'silo_of_victim') : home
  const source = new ControlledSource()
  const settle = async (database: TestDatabase, name: string): Promise<Inhabitant> => {
    const id = newTenantId()
    const schema = isolation === 'schema' ? `${name}'s "own"` : null
    if (schema !== null) await createOwnSchema(database, schema)
    await setResident(database, id, 'active', 1, schema)
    source.place(database, id, { isolation, schema: schema ?? 'public' })
    return { id, home: database, schema, key: testEntryKey(database, id) }
  }
  const attacker = await settle(home, 'attacker')
  const victim = await settle(victimHome, 'victim')
  const ground: LeakGround = {
    isolation,
    attacker,
    victim,
    successor: isolation === 'silo' ? victim : attacker,
    foreignItems: tableOf(victim),
    marker: MARKER,
    source,
    router: (options = {}) =>
      createRouter<Tables>({
        source,
        entrySecret: testEntrySecret,
        maxConnectionsPerDatabase: 1,
        connectionWaitMs: 30_000,
        ...options,
      }),
    refill: async () => {
      await fill(home, tableOf(attacker), attacker.id, 'own', 3)
      await fill(home, tableOf(victim), victim.id, MARKER, 4)
      if (victimHome !== home) await fill(victimHome, tableOf(victim), victim.id, MARKER, 4)
    },
  }
  await ground.refill()
  return ground
}

export function tableOf({ schema }: Inhabitant): string {
  return schema === null ? 'public.items' : `"${schema.replaceAll('"', '""')}".items`
}

async function fill(on: TestDatabase, table: string, id: TenantId, name: string, rows: number) {
  await withClient(on.superuser, 'test', async (client) => {
    await client.query(`delete from ${table} where tenant_id = $1`, [id])
    await client.query(
      `insert into ${table} (tenant_id, id, name) select $1, n, $2 || '-' || n from generate_series(1, $3::int) n`,
      [id, name, rows],
    )
  })
}

/** Lays a ground of each isolation on one cluster, which goes when the test file ends. */
export async function layGrounds(name: string): Promise<readonly LeakGround[]> {
  const prepared = await startPreparedCluster(name)
  t.teardown(() => prepared.cluster.remove())
  const grounds: LeakGround[] = []
  for (const isolation of ['pool', 'schema', 'silo'] as const) grounds.push(await lay(prepared, isolation))
  return grounds
}

/** Runs a test on every ground, one after the other, each with its rows as they were at the beginning. */
export function onEachGround(
  grounds: readonly LeakGround[],
  name: string,
  body: (t: Test, ground: LeakGround) => Promise<void>,
): void {
  t.test(name, async (t) => {
    for (const ground of grounds) {
      await ground.refill()
      await t.test(ground.isolation, (t) => body(t, ground))
    }
  })
}
