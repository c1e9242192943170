import { setTimeout as sleep } from 'node:timers/promises'
import { epochSchema, type TenantId } from '@freehold/contract'
import { connectClient, withClient } from '@freehold/postgres'
import {
  copyFrom,
  copyInto,
  createRouter,
  type Route,
  type Router,
  type RouterOptions,
} from '@freehold/tenancy'
import { type Generated, type Kysely, sql } from 'kysely'
import t, { type Test } from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { startPgBouncer } from '../../../test/kit/pgbouncer.ts'
import {
  ControlledSource,
  createItemsDatabase,
  createOwnSchema,
  newTenantId,
  routeTo,
  setResident,
  type TestDatabase,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'

interface Database {
  items: { tenant_id: Generated<string>; id: number; name: string; quantity: Generated<number> }
}

const prepared = await startPreparedCluster('pooler')
const server = prepared.as('freehold_app', 'postgres')
const silo = await createItemsDatabase(prepared, 'silo')
/** A database for each pooler: what is left on a session is looked for in one of its own. */
const databases = {
  one: await createItemsDatabase(prepared, 'pool'),
  four: await createItemsDatabase(prepared, 'wide'),
}
for (const { owner } of [databases.one, databases.four, silo]) {
  await withClient(owner, 'test', async (client) => {
    // What the router knows nothing about: everything that a session can remember.
    await client.query(`create function remember(secret text) returns text language plpgsql as $$
      begin
        perform set_config('a.secret', secret, false), set_config('search_path', 'pg_catalog', false),
          set_config('timezone', 'Asia/Tokyo', false), set_config('statement_timeout', '12345', false),
          set_config('client_encoding', 'LATIN1', false), pg_advisory_lock(42), nextval('counter');
        execute 'listen leak';
        execute 'prepare leak as select name from public.items';
        execute 'declare leak cursor with hold for select name from public.items';
        return secret;
      end $$`)
    await client.query('create sequence counter; grant usage on sequence counter to freehold_app')
    await client.query(`create function fail(lock bigint) returns int language plpgsql as $$
      begin perform pg_advisory_lock(lock); raise exception 'on purpose'; end $$`)
    await client.query(`create function twice(n int) returns int language sql as 'select n * 2'`)
  })
}
for (const schema of ['own', 'kept']) await createOwnSchema(databases.four, schema)

// As some deployments have it: what a router that is not told of the pooler asks for is dropped without a word.
const ignoring = { ignore_startup_parameters: 'options' }
const narrow = await startPgBouncer(server, {
  poolSize: 1,
  settings: { query_wait_timeout: 60, ...ignoring },
})
const wide = await startPgBouncer(server, { poolSize: 4 })
const source = new ControlledSource()
const routers: Router<Database>[] = []
t.teardown(async () => {
  await Promise.all(routers.map((router) => router.close()))
  await Promise.all([narrow.remove(), wide.remove()])
  await prepared.cluster.remove()
})

const newRouter = (options: Partial<RouterOptions> = {}): Router<Database> =>
  untoldRouter({ pooler: 'transaction', ...options })

/** A router that is not told that there is a pooler. */
function untoldRouter(options: Partial<RouterOptions>): Router<Database> {
  const router = createRouter<Database>({
    source,
    entrySecret: testEntrySecret,
    maxConnectionsPerDatabase: 8,
    maxConnectionsPerTenant: 8,
    ...options,
  })
  routers.push(router)
  return router
}

const router = newRouter()

async function newTenant(
  through = narrow,
  database: TestDatabase = databases.one,
  schema: string | null = null,
): Promise<TenantId> {
  const tenantId = newTenantId()
  await setResident(database, tenantId, 'active', 1, schema)
  const address = through.through(database.app)
  source.place(database, tenantId, schema === null ? { address } : { address, isolation: 'schema', schema })
  return tenantId
}

const pidOf = async (db: Kysely<Database>) =>
  (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)).rows[0]?.pid

const ids = async (db: Kysely<Database>) =>
  (await db.selectFrom('items').select('id').orderBy('id').execute()).map(({ id }) => id)

/** Asks the one server session behind the narrow pooler, as nobody. */
function behind<R extends Record<string, unknown>>(text: string): Promise<R[]> {
  return withClient(
    narrow.through(databases.one.app),
    'test',
    async (client) => (await client.query<R>(text)).rows,
  )
}

const STATE = `select pg_backend_pid() as pid, coalesce(current_setting('a.secret', true), '') as secret,
  coalesce(current_setting('freehold.entry', true), '') as entry, current_setting('search_path') as path,
  current_setting('timezone') as zone, current_setting('client_encoding') as encoding, current_setting('transaction_read_only') as read_only,
  (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
  (select count(*)::int from pg_prepared_statements) as prepared, (select count(*)::int from pg_cursors where is_holdable) as cursors,
  (select count(*)::int from pg_listening_channels()) as channels, (select count(*)::int from pg_class where relpersistence = 't') as temporary`

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

t.test('what a session would remember does not reach the next tenant', async (t) => {
  const db = router.forTenant(await newTenant())
  const other = router.forTenant(await newTenant())
  await db.insertInto('items').values({ id: 1, name: 'secret' }).execute()
  await pidOf(db)
  const [clean] = await behind(STATE)
  t.match(clean, {
    secret: '',
    locks: 0,
    prepared: 0,
    cursors: 0,
    channels: 0,
    temporary: 0,
    encoding: 'UTF8',
  })
  const call = sql<{ remembered: string }>`select remember('of a') as remembered from generate_series(1, 1)`
  const ways: Record<string, () => Promise<unknown>> = {
    'a statement': () => call.execute(db),
    'a transaction': () => db.transaction().execute((trx) => call.execute(trx)),
    'a read-only transaction': () =>
      db
        .transaction()
        .setAccessMode('read only')
        .execute((trx) =>
          sql`select set_config('a.secret', 'of a', false), pg_advisory_lock(42)`.execute(trx),
        ),
    'a savepoint': () =>
      db.transaction().execute(async (trx) => {
        await sql`savepoint here`.execute(trx)
        await call.execute(trx)
        await sql`release here`.execute(trx)
      }),
    'a returning clause': () =>
      sql`insert into items (id, name) values (nextval('counter') + 100, 'x') returning remember(name)`.execute(
        db,
      ),
    'a column of a value': () => sql`select (a.k).remember from (select 'of a'::text as k) a`.execute(db),
    'a column of a function': () => sql`select a."remember" from unnest(array['of a']) a`.execute(db),
    'a column of a parameter': () => sql`select ${'of a'}.remember`.execute(db),
    'a common table expression': () => sql`with a as (select remember('of a')) select * from a`.execute(db),
    'a comment in front': () =>
      sql`/* x */ -- y
      select remember('of a')`.execute(db),
  }
  for (const [name, way] of Object.entries(ways)) {
    await way()
    t.same(await behind(STATE), [clean], `${name}: cleaned on the same session`)
    t.same(await ids(other), [])
  }
  for (const [name, way] of Object.entries({
    'a stream': async () => {
      for await (const _ of db.selectFrom(call.as('c')).selectAll('c').stream(1));
    },
    'a transaction rolled back': () =>
      db.transaction().execute(async (trx) => {
        await call.execute(trx)
        throw new Error('of the product')
      }),
    'a rollback to a savepoint': async () => {
      const trx = await db.startTransaction().execute()
      const here = await trx.savepoint('here').execute()
      await call.execute(here)
      await here.rollbackToSavepoint('here').execute()
      await trx.commit().execute()
    },
    'a failing statement': () => sql`select fail(42)`.execute(db),
    'a failing statement in a transaction': () =>
      db.transaction().execute((trx) => sql`select fail(42)`.execute(trx)),
    'a failing statement that is swallowed': () =>
      db.transaction().execute((trx) => sql`select fail(42)`.execute(trx).catch(() => undefined)),
    'a failing stream': async () => {
      for await (const _ of db.selectNoFrom(sql`fail(42)`.as('x')).stream());
    },
    'a copy': () => read(copyFrom(db, sql`select remember('of a')`)),
    'a copy that fails': () => read(copyFrom(db, sql`select fail(42)`)),
  })) {
    await way().catch(() => undefined)
    const [state] = await behind(STATE)
    t.same({ ...state, pid: 0 }, { ...clean, pid: 0 }, name)
  }
  t.same(await ids(other), [])
  const name = sql<{ name: string }>`select current_setting('application_name') as name`
  await call.execute(db)
  t.same(
    (await name.execute(db)).rows,
    [{ name: 'freehold-router' }],
    'and operators see whose the session is',
  )
})

async function read(chunks: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const all = []
  for await (const chunk of chunks) all.push(chunk)
  return all
}

const REFUSED = [
  'commit',
  'end',
  'rollback',
  'abort',
  'commit and chain',
  'rollback and chain',
  `prepare transaction 'x'`,
  'begin',
  'start transaction',
  `set a.secret = 'of a'`,
  'set session a.secret = 1',
  'set role none',
  'set session characteristics as transaction read only',
  'reset all',
  'discard all',
  'discard temp',
  'prepare leak as select 1',
  'execute leak',
  'deallocate all',
  'listen leak',
  'unlisten *',
  'declare leak cursor with hold for select 1',
  'create temporary table leak (id int)',
  'create temporary table leak as select 1',
  'select 1 into temporary leak',
  'select 1 /* into */ into leak',
  'table items; commit',
  `do $$ begin perform set_config('a.secret', 'of a', false); end $$`,
  'call nothing()',
  'copy items to stdout',
  'copy items from stdin',
  '/* select */ set a.secret = 1',
  '-- select\nset a.secret = 1',
  '/* /* select */ select */ commit',
  'explain (analyze) execute leak',
  'explain analyze create table leak as select 1',
  `set local a.secret = 1; set a.secret = 2`,
  'rollback to here; commit',
  '',
  ';',
] as const

t.test('what is for the session, or would end the transaction, is not sent', async (t) => {
  const db = router.forTenant(await newTenant())
  await pidOf(db)
  const [clean] = await behind(STATE)
  for (const text of REFUSED) {
    const may = text.startsWith('explain') || text.includes('; ') || text.includes('/* into */')
    const wanted = { code: may ? /./ : 'session_required' }
    await t.rejects(sql.raw(text).execute(db), wanted, text)
    const id = REFUSED.indexOf(text)
    const kept = db.transaction().execute(async (trx) => {
      await trx.insertInto('items').values({ id, name: 'kept' }).execute()
      await sql`savepoint here`.execute(trx)
      await t.rejects(sql.raw(text).execute(trx), wanted, `${text} in a transaction`)
      if (may) await sql`rollback to savepoint here`.execute(trx)
    })
    await kept
    await t.rejects(async () => {
      for await (const _ of db
        .selectFrom(sql.raw<Record<string, unknown>>(`(${text})`).as('x'))
        .selectAll()
        .stream());
    })
    t.match(await behind(STATE), [{ ...clean, pid: Number }], text)
  }
  t.equal((await ids(db)).length, REFUSED.length, 'the transaction goes on')
})

t.test('what ends with the transaction is let through', async (t) => {
  const db = router.forTenant(await newTenant())
  await pidOf(db)
  const [clean] = await behind(STATE)
  await db.transaction().execute(async (trx) => {
    for (const text of [
      `set local a.secret = 'of a'`,
      `set local statement_timeout = 1000`,
      'set constraints all deferred',
      'savepoint here',
      'rollback to here',
      'release savepoint here',
      'lock table items in row exclusive mode',
      'show a.secret',
      'explain select * from items',
    ]) {
      await t.resolves(sql.raw(text).execute(trx), text)
    }
    await trx.insertInto('items').values({ id: 1, name: 'x' }).execute()
  })
  t.same(await behind(STATE), [clean])
  t.same(await ids(db), [1])
})

async function waitsForLock(client: {
  query(text: string): Promise<{ rowCount: number | null }>
}): Promise<void> {
  while (!(await client.query('select from pg_locks where not granted')).rowCount) await sleep(10)
}

/**
 * What a client finds that is next in line while a statement of a tenant is under way: nobody gets the session in
 * between, also not whoever would clean it.
 */
async function foundByTheNext(
  db: Kysely<Database>,
  patienceMs = 200,
): Promise<Record<string, unknown> | undefined> {
  const blocker = await connectClient(databases.one.owner, 'test')
  const next = await connectClient(narrow.through(databases.one.app), 'test')
  try {
    await blocker.query('begin; lock table items')
    const working =
      sql`select set_config('a.secret', 'of a', false) from items right join (select 1) one on true`.execute(
        db,
      )
    await waitsForLock(blocker)
    const found = next.query<Record<string, unknown>>(STATE)
    // Until the pooler has got that, which nothing tells.
    await sleep(patienceMs)
    await blocker.query('commit')
    await working
    return (await found).rows[0]
  } finally {
    await Promise.all([blocker.end(), next.end()])
  }
}

t.test('a router that is not told of the pooler is not let in by it', async (t) => {
  const untold = untoldRouter({ preparedStatements: false, poolerAddress: wide.through })
  const db = untold.forTenant(await newTenant())
  await t.rejects(ids(db), { code: 'database_unavailable' })
})

t.test('whoever is next in line finds nothing', async (t) => {
  t.match(await foundByTheNext(router.forTenant(await newTenant())), { secret: '', locks: 0 })
  // A router that is not told of the pooler cleans up when the session is somebody else's.
  const careless = untoldRouter({ preparedStatements: false })
  const db = careless.forTenant(await newTenant())
  let found: unknown
  // How long it takes the pooler to know who is next depends on the machine.
  for (let patienceMs = 100; patienceMs < 10_000 && found !== 'of a'; patienceMs *= 2) {
    found = (await foundByTheNext(db, patienceMs))?.secret
  }
  t.equal(found, 'of a', 'as it would otherwise')
  await careless.close()
  await behind('discard all')
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

t.test('options', async (t: Test) => {
  t.throws(() => newRouter({ pooler: 'session' as 'transaction' }), { code: 'config_invalid' })
})
