import { setTimeout as sleep } from 'node:timers/promises'
import { withClient } from '@freehold/postgres'
import { createRouter, currentTenant, runAsTenant } from '@freehold/tenancy'
import { CamelCasePlugin, sql } from 'kysely'
import t from 'tap'
import { createItemsDatabase, newTenantId, setResident, testEntrySecret } from '../../../test/kit/tenants.ts'
import { allIdle, prepareRouterGround } from './router-ground.ts'

const ground = await prepareRouterGround('router', { maxConnectionsPerDatabase: 4 })
t.teardown(() => ground.remove())
const { source, newRouter, move } = ground
const pool = await createItemsDatabase(ground.prepared, 'pool')
const silo = await createItemsDatabase(ground.prepared, 'silo')
const router = newRouter()
const newTenant = () => ground.newTenant(pool)

const one = await newTenant()
const two = await newTenant()

t.test('each tenant sees its own rows, whatever is asked', async (t) => {
  const a = router.forTenant(one)
  const b = router.forTenant(two)
  await a
    .insertInto('items')
    .values([
      { id: 1, name: 'a1' },
      { id: 2, name: 'a2' },
    ])
    .execute()
  await b.insertInto('items').values({ id: 1, name: 'b1' }).execute()
  t.same(await a.selectFrom('items').select(['id', 'name']).orderBy('id').execute(), [
    { id: 1, name: 'a1' },
    { id: 2, name: 'a2' },
  ])
  t.same(await b.selectFrom('items').select('name').execute(), [{ name: 'b1' }])
  t.same(await b.selectFrom('items').select('name').where('tenant_id', '=', one).execute(), [])
  const updated = await b.updateTable('items').set({ quantity: 9 }).executeTakeFirstOrThrow()
  t.equal(updated.numUpdatedRows, 1n)
  const deleted = await b.deleteFrom('items').where('tenant_id', '=', one).executeTakeFirstOrThrow()
  t.equal(deleted.numDeletedRows, 0n)
  await t.rejects(a.insertInto('items').values({ tenant_id: two, id: 9, name: 'x' }).execute(), {
    code: '42501',
  })
  await t.rejects(a.updateTable('items').set({ tenant_id: two }).execute(), { code: '42501' })
  t.same((await sql<{ n: string }>`select name as n from items`.execute(b)).rows, [{ n: 'b1' }])
  await allIdle(t, router)
})

t.test('forTenant', async (t) => {
  t.equal(router.forTenant(one), router.forTenant(one), 'is cached')
  const upper = router.forTenant(one.toUpperCase())
  t.equal(
    (await upper.selectFrom('items').selectAll().execute()).length,
    2,
    'knows either spelling of a UUID',
  )
  for (const wrong of ['', ' ', '042', '-1', '{x}', one.replaceAll('-', ''), `${one}' or 1=1`, 'a\0b']) {
    t.throws(() => router.forTenant(wrong), { code: 'invalid_request' })
  }
  const unknown = router.forTenant(newTenantId())
  await t.rejects(unknown.selectFrom('items').selectAll().execute(), { code: 'tenant_not_found' })
  await t.rejects(
    unknown.transaction().execute(async () => t.fail('not called')),
    { code: 'tenant_not_found' },
  )
  const db = router.forTenant(two)
  await db.selectFrom('items').select('id').execute()
  await db.destroy()
  t.not(router.forTenant(two), db, 'a destroyed instance is not handed out again')
  t.equal((await router.forTenant(two).selectFrom('items').select('id').execute()).length, 1)
  t.match(await router.tenant(one), { id: one, tier: 'free', region: 'us-east', isolation: 'pool' })
  t.notMatch(JSON.stringify(await router.tenant(one)), /password/)
  await t.rejects(router.tenant(newTenantId()), { code: 'tenant_not_found' })
})

t.test('takes plugins of Kysely', async (t) => {
  const camel = newRouter({ kysely: { plugins: [new CamelCasePlugin()] } })
  const rows = await sql`select 1 as some_number`.execute(camel.forTenant(one))
  t.same(rows.rows, [{ someNumber: 1 }])
})

t.test('works without prepared statements', async (t) => {
  const bare = newRouter({ preparedStatements: false, maxConnectionsPerDatabase: 1 })
  const tenantId = await newTenant()
  const db = bare.forTenant(tenantId)
  await setResident(pool, tenantId, 'fenced')
  const held = [
    db.insertInto('items').values({ id: 1, name: 'x' }).execute(),
    db.transaction().execute((trx) => trx.insertInto('items').values({ id: 2, name: 'x' }).execute()),
  ]
  await sleep(30)
  await setResident(pool, tenantId)
  await Promise.all(held)
  t.equal((await db.selectFrom('items').selectAll().execute()).length, 2)
  await db.transaction().execute(async (trx) => {
    const { rows } = await sql`select count(*)::int as n from pg_prepared_statements`.execute(trx)
    t.same(rows, [{ n: 0 }])
  })
})

t.test('streams', async (t) => {
  const db = router.forTenant(await newTenant())
  const rows = Array.from({ length: 25 }, (_, index) => ({ id: index, name: `n${index}` }))
  await db.insertInto('items').values(rows).execute()
  const seen: number[] = []
  for await (const row of db.selectFrom('items').select('id').orderBy('id').stream(10)) seen.push(row.id)
  t.same(
    seen,
    rows.map((row) => row.id),
  )
  for await (const row of db.selectFrom('items').select('id').orderBy('id').stream(5)) {
    if (row.id === 7) break
  }
  await t.rejects(async () => {
    for await (const row of db.selectFrom('items').selectAll().stream()) throw new Error(`of row ${row.id}`)
  }, /of row/)
  await t.rejects(
    async () => {
      const failing = db.selectFrom('items').select((eb) => eb(eb.val(1), '/', eb.ref('quantity')).as('x'))
      for await (const _ of failing.stream()) t.fail('no row')
    },
    { code: '22012' },
  )
  await db.transaction().execute(async (trx) => {
    let count = 0
    for await (const _ of trx.selectFrom('items').selectAll().stream(10)) count++
    t.equal(count, 25, 'inside a transaction')
    await trx.deleteFrom('items').where('id', '=', 0).execute()
  })
  let returned = 0
  for await (const _ of db.deleteFrom('items').returning('id').stream(10)) returned++
  t.equal(returned, 24, 'a write')
  t.same(await db.selectFrom('items').selectAll().execute(), [], 'is committed')
  await allIdle(t, router)
})

t.test('db.connection() enters for every query', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  await db.connection().execute(async (bound) => {
    await bound.insertInto('items').values({ id: 1, name: 'x' }).execute()
    await move(tenantId, pool, silo, 2)
    t.same(await bound.selectFrom('items').selectAll().execute(), [], 'at its new home')
    await bound.transaction().execute((trx) => trx.insertInto('items').values({ id: 5, name: 'y' }).execute())
    t.same(await bound.selectFrom('items').select('id').execute(), [{ id: 5 }])
  })
  await allIdle(t, router)
})

t.test('a select that writes is run as a writer after all', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  await withClient(pool.owner, 'test', async (client) => {
    await client.query(`create function add_item() returns integer language sql volatile as
      $$ insert into items (id, name) values ((select count(*) from items), 'by a view') returning id $$`)
    await client.query('create view adding as select add_item() as id')
    await client.query('grant select on adding to freehold_app')
  })
  const adding = () => db.withTables<{ adding: { id: number } }>().selectFrom('adding').select('id')
  t.same(await adding().execute(), [{ id: 0 }])
  t.same(await adding().execute(), [{ id: 1 }])
  const streamed: number[] = []
  for await (const row of adding()
    .select((eb) => eb.lit(1).as('one'))
    .stream())
    streamed.push(row.id)
  t.same(streamed, [2])
  t.equal((await db.selectFrom('items').selectAll().execute()).length, 3, 'each of them once')
  await allIdle(t, router)
})

t.test('no session state reaches the next tenant', async (t) => {
  const narrow = newRouter({ maxConnectionsPerDatabase: 1 })
  const a = narrow.forTenant(one)
  const b = narrow.forTenant(two)
  const state = () =>
    sql<Record<string, unknown>>`select current_setting('a.secret', true) as setting,
      current_setting('search_path') as path, current_setting('statement_timeout') as timeout,
      (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()
        and objid <> (freehold.lock_key(${two}) & 4294967295)::oid) as locks,
      (select count(*)::int from pg_prepared_statements where from_sql) as prepared,
      (select count(*)::int from pg_cursors where is_holdable) as cursors,
      (select count(*)::int from pg_listening_channels()) as channels`.execute(b)
  const clean = (await state()).rows
  t.match(clean, [{ setting: null, locks: 0, prepared: 0, cursors: 0, channels: 0 }])
  for (const text of [
    `select set_config('a.secret', 'of a', false)`,
    `set a.secret = 'of a'`,
    `set search_path = pg_catalog`,
    `set statement_timeout = 1`,
    `select pg_advisory_lock(42)`,
    `prepare leak as select name from items`,
    `declare leak cursor with hold for select name from items`,
    `listen leak`,
    `do $$ begin perform set_config('a.secret', 'of a', false); end $$`,
  ]) {
    await sql.raw(text).execute(a)
    t.match((await state()).rows, [{ ...clean[0], setting: /^$|^null$/ }], text) ||
      t.match((await state()).rows, clean, text)
    await a.transaction().execute((trx) => sql.raw(text).execute(trx))
    t.match((await state()).rows[0]?.prepared, 0, `${text} in a transaction`)
  }
  await sql`deallocate all`.execute(a)
  t.equal((await b.selectFrom('items').selectAll().execute()).length, 1, 'DEALLOCATE harms nobody')
  await t.rejects(sql`execute leak`.execute(b), { code: '26000' })
  await t.rejects(sql`fetch all from leak`.execute(b), { code: '34000' })
  await allIdle(t, narrow)
})

t.test('runs jobs as a tenant', async (t) => {
  t.throws(() => currentTenant(), { code: 'tenant_context_missing' })
  const plain = createRouter({ source, entrySecret: testEntrySecret })
  const found = await runAsTenant(plain, one, async (db, tenant) => {
    await sleep(1)
    t.equal(currentTenant().tenant, tenant)
    t.equal(currentTenant().db, db)
    await t.rejects(
      runAsTenant(plain, two, async () => t.fail('not called')),
      { code: 'tenant_fixed' },
    )
    return currentTenant().tenant.id
  })
  t.equal(found, one)
  await t.rejects(
    runAsTenant(plain, newTenantId(), async () => t.fail('not called')),
    { code: 'tenant_not_found' },
  )
  t.throws(() => currentTenant(), { code: 'tenant_context_missing' })
  await plain.close()
})

t.test('options are checked', async (t) => {
  t.throws(() => createRouter({ source, entrySecret: 'short' }), { code: 'config_invalid' })
  t.throws(() => createRouter({ source, entrySecret: testEntrySecret, maxConnectionsPerDatabase: 0 }), {
    message: /maxConnectionsPerDatabase/,
  })
})
