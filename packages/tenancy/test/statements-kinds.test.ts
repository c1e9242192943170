import { withClient } from '@freehold/postgres'
import { copyFrom, type FreeholdDatabase } from '@freehold/tenancy'
import { type Kysely, sql } from 'kysely'
import t from 'tap'
import { createItemsDatabase, createOwnSchema, type TestDatabase } from '../../../test/kit/tenants.ts'
import { prepareRouterGround } from './router-ground.ts'
import { CASES, collected, type Inhabitant } from './statement-cases.ts'

/** One connection to a database, so that each tenant follows the other on one session. */
const ground = await prepareRouterGround('kinds', { maxConnectionsPerDatabase: 1 })
t.teardown(() => ground.remove())
const router = ground.newRouter()

const shared = await createItemsDatabase(ground.prepared, 'shared')
const silos = [
  await createItemsDatabase(ground.prepared, 'silo_a'),
  await createItemsDatabase(ground.prepared, 'silo_b'),
]
for (const schema of ['own_a', 'own_b']) await createOwnSchema(shared, schema)

async function settle(mark: string, home: TestDatabase, schema?: string): Promise<Inhabitant> {
  const id = await ground.newTenant(home, schema)
  return { id, mark, home, schema: schema ?? 'public', instance: () => router.forTenant(id) }
}

const places = {
  pool: [await settle('MARK-A', shared), await settle('MARK-B', shared)],
  schema: [await settle('MARK-A', shared, 'own_a'), await settle('MARK-B', shared, 'own_b')],
  silo: [await settle('MARK-A', silos[0] ?? shared), await settle('MARK-B', silos[1] ?? shared)],
} as const

const SEED = [1, 2, 3]

async function reset({ mark, instance }: Inhabitant): Promise<void> {
  const db = instance()
  await db.deleteFrom('items').execute()
  await db
    .insertInto('items')
    .values(SEED.map((n) => ({ id: n, name: mark })))
    .execute()
}

/** What is there, whatever the router says. */
async function contents({ home, schema, id }: Inhabitant): Promise<unknown[]> {
  return withClient(home.superuser, 'test', async (client) => {
    const { rows } = await client.query(`select * from ${schema}.items where tenant_id = $1 order by id`, [
      id,
    ])
    return rows
  })
}

/** The same for both tenants once each calls itself the same. */
function anonymous(value: unknown, { id, mark, schema }: Inhabitant): string {
  return JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? `${inner}` : inner))
    .replaceAll(id, 'ID')
    .replaceAll(mark, 'MARK')
    .replaceAll(schema, 'SCHEMA')
}

for (const [place, [a, b]] of Object.entries(places)) {
  t.test(`every way of running a statement is scoped: ${place}`, async (t) => {
    for (const [name, run] of Object.entries(CASES)) {
      await reset(a)
      await reset(b)
      const seen = [
        [a, await run(a.instance(), a, b)],
        [b, await run(b.instance(), b, a)],
      ] as const
      const [first, second] = seen.map(([tenant, value]) => anonymous(value, tenant))
      t.match(first, /MARK|ID/, `${name}: its own is seen`)
      t.equal(first, second, `${name}: both see the same of their own`)
      t.notMatch(first, /MARK-/, `${name}: nothing of the other`)
      t.equal(anonymous(await contents(a), a), anonymous(await contents(b), b), `${name}: both have the same`)
    }
  })
}

t.test('reading, in whatever way, is read-only and locks nothing', async (t) => {
  const { id, home } = places.pool[0]
  const db = router.forTenant(id)
  await reset(places.pool[0])
  const probe = sql<string>`current_setting('transaction_read_only')`.as('read_only')
  const probed = (on: Pick<Kysely<FreeholdDatabase>, 'selectFrom'>) =>
    on.selectFrom('items').select(probe).limit(1)
  const ways: Record<string, () => Promise<{ read_only: string }[]>> = {
    execute: () => probed(db).execute(),
    'connection()': () => db.connection().execute((bound) => probed(bound).execute()),
    stream: () => collected(probed(db).stream()),
    'a read-only transaction': () =>
      db
        .transaction()
        .setAccessMode('read only')
        .execute((trx) => probed(trx).execute()),
    raw: async () =>
      (
        await sql<{
          read_only: string
        }>`select current_setting('transaction_read_only') as read_only`.execute(db)
      ).rows,
    'a common table expression': () =>
      db
        .with('x', (db) => probed(db))
        .selectFrom('x')
        .selectAll()
        .execute(),
  }
  for (const [name, read] of Object.entries(ways)) t.same(await read(), [{ read_only: 'on' }], name)
  t.match(await probed(db).explain(), [{}], 'explain')

  const locks = () =>
    withClient(home.superuser, 'test', async (client) => {
      const { rowCount } = await client.query(`select from pg_locks where locktype = 'advisory'`)
      // And the cutover's own, which waits for no reader.
      await client.query(`set lock_timeout = '10s'; select pg_advisory_lock(freehold.lock_key('${id}'))`)
      return rowCount
    })
  for await (const _ of db.selectFrom('items').selectAll().stream(1)) t.equal(await locks(), 0, 'a stream')
  for await (const _ of copyFrom(db, db.selectFrom('items').selectAll())) t.equal(await locks(), 0, 'a copy')
  await db
    .transaction()
    .setAccessMode('read only')
    .execute(async (trx) => {
      await trx.selectFrom('items').selectAll().execute()
      t.equal(await locks(), 0, 'a read-only transaction')
    })
  await db.transaction().execute(async (trx) => {
    await trx.selectFrom('items').selectAll().execute()
    const held = await withClient(home.superuser, 'test', (client) =>
      client.query(`select from pg_locks where locktype = 'advisory'`),
    )
    t.equal(held.rowCount, 1, 'a writer does: the test can tell')
  })
})

t.test(
  'a migration that adds a column, and statements that are dropped, are met inside a transaction too',
  async (t) => {
    for (const [{ id, home, schema }] of Object.values(places)) {
      const db = router.forTenant(id)
      const whole = sql<Record<string, unknown>>`select * from items order by id limit 1`
      await whole.execute(db)
      await whole.execute(db)
      await withClient(home.owner, 'test', (client) =>
        client.query(`alter table ${schema}.items add note text default 'new'`),
      )
      await db
        .transaction()
        .execute(async (trx) => t.match((await whole.execute(trx)).rows, [{ note: 'new' }], 'inside'))
      t.match((await whole.execute(db)).rows, [{ note: 'new' }], 'outside')
      t.match(
        await collected(db.selectFrom('items').selectAll().limit(1).stream()),
        [{ note: 'new' }],
        'streamed',
      )
      await withClient(home.owner, 'test', (client) => client.query(`alter table ${schema}.items drop note`))
      t.notMatch((await whole.execute(db)).rows, [{ note: 'new' }])
      const names = db.selectFrom('items').select('name').limit(1)
      await names.execute()
      for (const drop of [
        'deallocate all',
        'discard plans',
        `do $$ begin execute 'deallocate all'; end $$`,
      ]) {
        await db.transaction().execute(async (trx) => {
          await trx.executeQuery(names.compile())
          await sql.raw(drop).execute(trx)
          t.equal((await trx.executeQuery(names.compile())).rows.length, 1, drop)
        })
      }
    }
  },
)
