import { setTimeout as sleep } from 'node:timers/promises'
import { connectClient } from '@freehold/postgres'
import { copyFrom, type FreeholdDatabase } from '@freehold/tenancy'
import { type Kysely, sql } from 'kysely'
import t from 'tap'
import { ids, pidOf, preparePoolerGround, STATE, waitsForLock } from './pooler-ground.ts'

const ground = await preparePoolerGround('pooler-sessions')
t.teardown(() => ground.remove())
const { narrow, wide, databases, router, untoldRouter, newTenant, behind } = ground

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

/**
 * What a client finds that is next in line while a statement of a tenant is under way: nobody gets the session in
 * between, also not whoever would clean it.
 */
async function foundByTheNext(
  db: Kysely<FreeholdDatabase>,
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
