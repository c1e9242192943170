import { setTimeout as sleep } from 'node:timers/promises'
import { epochSchema, type TenantId } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { copyFrom, copyInto, type Route } from '@freehold/tenancy'
import { sql } from 'kysely'
import t from 'tap'
import { newTenantId, routeTo, setResident } from '../../../test/kit/tenants.ts'
import { ids, preparePoolerGround, STATE } from './pooler-ground.ts'

const ground = await preparePoolerGround('pooler')
t.teardown(() => ground.remove())
const { source, narrow, wide, databases, silo, router, newRouter, newTenant, behind } = ground

for (const [size, pooler, database, schema] of [
  [1, narrow, databases.one, null],
  [4, wide, databases.four, 'own'],
] as const) {
  t.test(`two tenants at once over ${size} server connections`, async (t) => {
    const tenants = [await newTenant(pooler, database), await newTenant(pooler, database, schema)]
    const failures: unknown[] = []
    const work = async (tenantId: TenantId, worker: number) => {
      const db = router.forTenant(tenantId)
      for (let round = 0; round < 10; round++) {
        const id = worker * 100 + round * 5
        const mine = (rows: readonly { name: string }[]) => {
          if (rows.length === 0 || rows.some(({ name }) => name !== tenantId)) failures.push(rows)
        }
        await db.insertInto('items').values({ id, name: tenantId }).execute()
        mine(await db.selectFrom('items').select('name').execute())
        await db.transaction().execute(async (trx) => {
          await trx
            .insertInto('items')
            .values({ id: id + 1, name: tenantId })
            .execute()
          mine(await trx.selectFrom('items').select('name').execute())
        })
        const trx = await db.startTransaction().execute()
        const here = await trx.savepoint('here').execute()
        await here
          .insertInto('items')
          .values({ id, name: 'twice' })
          .execute()
          .catch(() => undefined)
        await here.rollbackToSavepoint('here').execute()
        await trx
          .insertInto('items')
          .values({ id: id + 2, name: tenantId })
          .execute()
        await trx.commit().execute()
        for await (const row of db.selectFrom('items').select('name').stream(3)) mine([row])
        await copyInto(db, 'items', ['id', 'name'], [[id + 3, tenantId]])
        for await (const chunk of copyFrom(db, db.selectFrom('items').select('name').distinct(), {
          header: false,
        })) {
          mine([{ name: chunk.toString().trim() }])
        }
        const { rows } = await sql<{
          name: string
          n: number
        }>`select name, twice(id) as n from items`.execute(db)
        mine(rows)
        await t.rejects(sql`select 1 / (id - id) from items`.execute(db), { code: '22012' })
      }
    }
    await Promise.all([0, 1, 2].flatMap((worker) => tenants.map((tenantId) => work(tenantId, worker))))
    t.same(failures, [])
    for (const tenantId of tenants) t.equal((await ids(router.forTenant(tenantId))).length, 120)
    const sessions = await withClient(database.superuser, 'test', (client) =>
      client.query(
        `select from pg_stat_activity where datname = current_database() and usename = 'freehold_app'`,
      ),
    )
    t.ok((sessions.rowCount ?? 0) <= size, `${sessions.rowCount} server connections`)
  })
}

t.test('entry and statement are one transaction of one session, and nothing of it stays', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  const { rows } =
    await sql`select freehold.current_tenant() as tenant, current_setting('transaction_read_only') as read_only
    from items right join (select 1) one on true`.execute(db)
  t.same(rows, [{ tenant: tenantId, read_only: 'off' }])
  t.match(await behind(STATE), [{ entry: '', locks: 0, prepared: 0 }])
  t.same(await behind('select * from items'), [])
})

t.test(
  'deferred constraints fire while the tenant is entered, and their failure is the commit’s',
  async (t) => {
    await withClient(databases.one.owner, 'test', async (client) => {
      await client.query(`create function whose() returns trigger language plpgsql as $$ begin
      if freehold.current_tenant() is null then raise exception 'nobody is entered'; end if;
      if new.name = 'bad' then raise exception using errcode = '23514'; end if; return new; end $$`)
      await client.query(`create constraint trigger whose after insert on items deferrable initially deferred
      for each row execute function whose()`)
    })
    const db = router.forTenant(await newTenant())
    await sql`insert into items (id, name) values (twice(1), 'good')`.execute(db)
    await t.rejects(sql`insert into items (id, name) values (twice(2), 'bad')`.execute(db), { code: '23514' })
    t.same(await ids(db), [2])
  },
)

t.test('writing with one snapshot takes a session, reading does not', async (t) => {
  const db = router.forTenant(await newTenant())
  for (const level of ['repeatable read', 'serializable'] as const) {
    let called = false
    const writing = db
      .transaction()
      .setIsolationLevel(level)
      .execute(async () => {
        called = true
      })
    await t.rejects(writing, { code: 'session_required' }, level)
    t.notOk(called)
    await db
      .transaction()
      .setIsolationLevel(level)
      .setAccessMode('read only')
      .execute(async (trx) => {
        t.same((await sql`show transaction_isolation`.execute(trx)).rows, [{ transaction_isolation: level }])
        t.same(await ids(trx), [])
      })
  }
})

t.test('readers lock nothing, writers are held, and a move goes on beneath', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  await db.insertInto('items').values({ id: 1, name: 'x' }).execute()
  for await (const _ of db.selectFrom('items').selectAll().stream()) {
    await withClient(databases.one.owner, 'test', (client) =>
      client.query('select pg_advisory_lock(freehold.lock_key($1))', [tenantId]),
    )
  }
  await setResident(databases.one, tenantId, 'fenced')
  let done = 0
  const writes = [2, 3, 4].map((id) =>
    db
      .insertInto('items')
      .values({ id, name: 'x' })
      .execute()
      .then(() => done++),
  )
  const calling = sql`insert into items (id, name) values (twice(20), 'x')`.execute(db)
  const loading = copyInto(db, 'items', ['id', 'name'], [[50, 'x']])
  await sleep(50)
  t.equal(done, 0)
  t.same(await ids(db), [1], 'reads go on')
  await setResident(databases.one, tenantId, 'moved')
  await setResident(silo, tenantId, 'active', 2)
  source.place(silo, tenantId, { epoch: epochSchema.parse(2), address: narrow.through(silo.app) })
  await Promise.all([...writes, calling, loading])
  t.same(await ids(db), [2, 3, 4, 40, 50], 'each once, at the new home')
})

t.test('prepared statements behind a pooler that keeps track of them', async (t) => {
  // There is no such pooler here: what is prepared is looked at on the server itself.
  const keeping = newRouter({ preparedStatements: true, maxConnectionsPerDatabase: 1 })
  const inSchema = newTenantId()
  await setResident(databases.four, inSchema, 'active', 1, 'kept')
  source.place(databases.four, inSchema, { isolation: 'schema', schema: 'kept' })
  const inPool = newTenantId()
  await setResident(databases.four, inPool)
  source.place(databases.four, inPool)
  const prepared = (name: string) =>
    sql<{
      text: string
    }>`select statement as text from pg_prepared_statements where statement like ${`%${name}%`}`
  for (const [tenantId, name, kept] of [
    [inSchema, 'of_schema', 0],
    [inPool, 'of_pool', 1],
  ] as const) {
    const db = keeping.forTenant(tenantId)
    await db.selectFrom('items').select(`id as ${name}`).execute()
    await db.transaction().execute((trx) => trx.selectFrom('items').select(`id as ${name}`).execute())
    // A statement of unknown effect, and the cleaning after it, leave what the pooler counts on.
    await sql`select twice(1)`.execute(db)
    t.equal((await prepared(`as "${name}"`).execute(db)).rows.length, kept, name)
  }
})

t.test('the catalog knows the databases, the router their poolers', async (t) => {
  const direct: Route[] = []
  const tenantIds = [newTenantId(), newTenantId()]
  for (const tenantId of tenantIds) {
    await setResident(databases.one, tenantId)
    direct.push(routeTo(databases.one, tenantId))
  }
  const through = newRouter({
    source: {
      lookup: async (id) => direct.find(({ tenantId }) => tenantId === id) ?? null,
      subscribe: async () => async () => undefined,
      page: async () => ({ routes: direct.slice(0, 1), next: undefined }),
    },
    poolerAddress: narrow.through,
    warmStart: { tenants: 1 },
  })
  await through.ready()
  t.equal(through.metrics().warmStart.loaded, 1)
  for (const tenantId of tenantIds) t.same(await ids(through.forTenant(tenantId)), [])
  const { port } = narrow.through(databases.one.app)
  t.ok(port !== databases.one.app.port)
  const sessions = await withClient(databases.one.superuser, 'test', (client) =>
    client.query(
      `select from pg_stat_activity where datname = current_database() and usename = 'freehold_app'`,
    ),
  )
  t.equal(sessions.rowCount, 1, 'by way of the pooler, which has one session')
})

t.test('options', async (t) => {
  t.throws(() => newRouter({ pooler: 'session' as 'transaction' }), { code: 'config_invalid' })
})
