import { readdir } from 'node:fs/promises'
import { type Adoption, adoptDatabase, dataMigrations } from '@freehold/data-database'
import { startTemporaryCluster } from '@freehold/local'
import { withClient } from '@freehold/postgres'
import { copyInto, createResidentSource, createRouter } from '@freehold/tenancy'
import { sql } from 'kysely'
import t from 'tap'
import { withEarlierMigrations } from '../../../test/kit/databases.ts'

const cluster = await startTemporaryCluster('adoption')
t.teardown(() => cluster.remove())

const entrySecret = 'an entry secret that is only good for tests'
const passwords = { freehold_app: 'app', freehold_control: 'control' }
const migrations = dataMigrations()

await asSuperuser('postgres', `create role keeper login createrole createdb password 'keeper'`)

async function asSuperuser(database: string, text: string): Promise<Record<string, unknown>[]> {
  const result = await withClient(cluster.address(database), 'test', (client) => client.query(text))
  return result.rows
}

async function adoption(database: string, changes: Partial<Adoption> = {}): Promise<Adoption> {
  return {
    admin: cluster.address(database),
    passwords,
    entrySecret,
    migrations,
    rolesAreOurs: true,
    ...changes,
  }
}

t.test('a role that is no superuser can adopt its own database', async (t) => {
  await asSuperuser('postgres', 'create database kept owner keeper')
  const admin = cluster.address('kept', { user: 'keeper', password: 'keeper' })
  const report = await adoptDatabase(
    await adoption('kept', { admin, tenants: 'select * from generate_series(1, 3)' }),
  )
  t.match(report, { migrationRole: 'keeper', admitted: 3, alreadyIn: 0, sharedWaysClosed: false })
  await withClient(admin, 'test', (client) =>
    client.query(`
      create table notes (account_id integer not null, id integer not null, primary key (account_id, id));
      select freehold.protect_table('notes', 'account_id')`),
  )
  t.match(await adoptDatabase(await adoption('kept', { admin })), { admitted: 0, migrations: [] })
})

t.test('tenants are let in and out, and nobody is in by accident', async (t) => {
  const address = (user: 'freehold_app' | 'freehold_control') =>
    cluster.address('kept', { user, password: passwords[user] })
  const source = createResidentSource({
    app: address('freehold_app'),
    control: address('freehold_control'),
    entrySecret,
  })
  const router = createRouter<{ notes: { id: number } }>({ source, entrySecret, holdDeadlineMs: 50 })
  t.teardown(async () => {
    await router.close()
    await source.close()
  })
  await router.forTenant('2').insertInto('notes').values({ id: 1 }).execute()
  t.same(await router.forTenant('1').selectFrom('notes').selectAll().execute(), [])
  t.same(await router.forTenant('2').selectFrom('notes').select('id').execute(), [{ id: 1 }])
  t.match(await router.tenant('2'), { id: '2', region: 'local', tier: 'default', isolation: 'pool' })
  await t.rejects(router.tenant('4'), { code: 'tenant_not_found' })
  await source.admit('4')
  await source.admit('4')
  await t.rejects(source.admit('4x'), { code: '23514' }, 'the column is an integer')
  await t.rejects(source.admit('04'), { code: 'invalid_request' })
  const known = router.forTenant('2')
  await source.dismiss('2')
  await t.rejects(known.selectFrom('notes').selectAll().execute(), 'also where it is known already')
  const seen = await sql`select count(*)::integer as n from notes`.execute(router.forTenant('1'))
  t.same(seen.rows, [{ n: 0 }])
})

t.test('what knows the residents sees no row, and what sees rows knows no residents', async (t) => {
  const ask = (user: 'freehold_app' | 'freehold_control', text: string) =>
    withClient(cluster.address('kept', { user, password: passwords[user] }), 'test', (client) =>
      client.query(text),
    )
  await t.rejects(ask('freehold_control', 'select * from notes'), { code: '42501' })
  for (const table of ['resident', 'identity', 'tenant_schema', 'managed_table']) {
    const asked = ask('freehold_app', `select * from freehold.${table}`)
    if (table === 'managed_table') await t.resolves(asked)
    else await t.rejects(asked, { code: '42501' }, table)
  }
})

t.test('an unsafe role, or a value that is no id, is refused and changes nothing', async (t) => {
  await asSuperuser('postgres', 'create database refused')
  await t.rejects(adoptDatabase(await adoption('refused', { tenants: `select 'a b'` })), {
    code: 'tenant_id_unfit',
  })
  await asSuperuser('postgres', 'alter role freehold_app bypassrls')
  await t.rejects(adoptDatabase(await adoption('refused')), { code: 'config_invalid' })
  t.same(await asSuperuser('refused', `select nspname from pg_namespace where nspname like 'freehold%'`), [])
  await asSuperuser('postgres', 'alter role freehold_app nobypassrls')
  await t.rejects(adoptDatabase(await adoption('refused', { rolesAreOurs: false })), {
    code: 'config_invalid',
  })
  for (const tenants of ['select null', 'select 1; create table x ()', 'create table x ()']) {
    await t.rejects(adoptDatabase(await adoption('refused', { tenants })))
  }
  t.same(await asSuperuser('refused', `select relname from pg_class where relname = 'x'`), [])
  const otherSecret = 'another entry secret, that is just as good'
  await t.rejects(adoptDatabase(await adoption('kept', { entrySecret: otherSecret })), {
    code: 'config_invalid',
  })
})

t.test(
  'what was open to everybody before PostgreSQL 15 is closed, and stays open to the migrations',
  async (t) => {
    await asSuperuser('postgres', 'create database old owner keeper')
    await asSuperuser('old', 'grant create on schema public to public; create role planter login')
    await adoptDatabase(await adoption('old'))
    const may = `select has_schema_privilege($r$keeper$r$, 'public', 'create') as keeper,
    has_schema_privilege('planter', 'public', 'create') as planter,
    has_schema_privilege('freehold_app', 'public', 'create') as app,
    has_function_privilege('planter', 'pg_terminate_backend(integer, bigint)', 'execute') as kept,
    has_function_privilege('freehold_app', 'pg_terminate_backend(integer, bigint)', 'execute') as taken`
    t.match(await asSuperuser('old', may), [
      { keeper: true, planter: false, app: false, kept: true, taken: false },
    ])
  },
)

t.test('a table in a schema of the product can be protected there', async (t) => {
  await asSuperuser('old', `create schema billing authorization keeper`)
  const admin = cluster.address('old', { user: 'keeper', password: 'keeper' })
  await withClient(admin, 'test', (client) =>
    client.query(`create table billing.invoices (account_id integer not null, id integer not null, primary key (account_id, id));
      select freehold.protect_table('billing.invoices', 'account_id')`),
  )
  const address = (user: 'freehold_app' | 'freehold_control') =>
    cluster.address('old', { user, password: passwords[user] })
  const source = createResidentSource({
    app: address('freehold_app'),
    control: address('freehold_control'),
    entrySecret,
  })
  const router = createRouter<{ 'billing.invoices': { id: number } }>({ source, entrySecret })
  t.teardown(async () => {
    await router.close()
    await source.close()
  })
  await source.admit('1')
  await copyInto(router.forTenant('1'), 'billing.invoices', ['id'], [[7]])
  t.same(await router.forTenant('1').selectFrom('billing.invoices').select('id').execute(), [{ id: 7 }])
  await source.dismiss('1')
  // It is told, so nothing is believed any longer than it takes to hear of it.
  while (await router.tenant('1').catch(() => undefined)) await new Promise(setImmediate)
  await t.rejects(router.tenant('1'), { code: 'tenant_not_found' })
})

t.test('two at once', async (t) => {
  await asSuperuser('postgres', 'create database twice')
  const both = [await adoption('twice'), await adoption('twice', { tenants: 'values (1), (2)' })]
  const reports = await Promise.all(both.map((one) => adoptDatabase(one)))
  t.equal(
    reports.reduce((sum, { admitted }) => sum + admitted, 0),
    2,
  )
  t.same(await asSuperuser('twice', 'select count(*)::integer as n from freehold.identity'), [{ n: 1 }])
})

t.test('a database of before keys that are kept were refused', async (t) => {
  await asSuperuser('postgres', 'create database older owner keeper')
  const [newer] = (await readdir(migrations)).filter((name) => name.startsWith('0007'))
  const admin = cluster.address('older', { user: 'keeper', password: 'keeper' })
  const run = (text: string) => withClient(admin, 'test', (client) => client.query(text))
  await withEarlierMigrations(7, async (folder) =>
    adoptDatabase(await adoption('older', { admin, migrations: folder, tenants: "select 'a'" })),
  )
  await run(`
    create table theirs (tenant_id text not null, id integer, primary key (tenant_id, id));
    create table "Theirs, in 100%" (tenant_id text not null, id integer) partition by list (id);
    create table theirs_1 partition of "Theirs, in 100%" for values in (1);
    select freehold.protect_table('theirs'), freehold.protect_table('"Theirs, in 100%"');
    revoke delete on theirs from freehold_app;
    create table gone (tenant_id text not null); select freehold.protect_table('gone'); drop table gone;
    set role freehold_owner;
    select freehold.create_tenant_schema('100%''s');
    create table "100%'s".ours (tenant_id text not null, id integer);
    create schema billed;
    create table billed.ours (tenant_id text not null, id integer);
    select freehold.protect_table($$"100%'s".ours$$), freehold.protect_table('billed.ours');
    insert into freehold.resident (tenant_id, epoch, entry_digest, state) values ('m', 1, sha256('m'), 'moved'), ('s', 1, sha256('s'), 'standby')`)
  const renewed = `select polrelid::regclass::text collate "C" as name from pg_policy where polname = 'freehold_delete' order by 1`
  t.same((await run(renewed)).rows, [], 'as it was')
  const again = await adoptDatabase(await adoption('older', { admin }))
  t.equal(again.migrations[0], newer)
  const [own, partitioned, billed] = [`"100%'s".ours`, '"Theirs, in 100%"', 'billed.ours'].map((name) => ({
    name,
  }))
  t.same((await run(renewed)).rows, [own, billed], 'the tables of the owner are brought in step')
  t.same(
    (await run('select tenant_id, is_open, left_at is not null as left from freehold.resident order by 1'))
      .rows,
    [
      { tenant_id: 'a', is_open: true, left: false },
      { tenant_id: 'm', is_open: false, left: true },
      { tenant_id: 's', is_open: false, left: false },
    ],
  )
  await run('select freehold.renew_policies()')
  const theirs = [partitioned, billed, { name: 'theirs' }, { name: 'theirs_1' }]
  t.same((await run(renewed)).rows, [own, ...theirs], 'those of the product by its own migrations')
  t.same(
    (await run(`select has_table_privilege('freehold_app', 'theirs', 'delete') as may`)).rows,
    [{ may: false }],
    'and no right is granted anew',
  )
  await run('select freehold.protect_table($$theirs$$)')
  const policies = `select polname, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) from pg_policy
    where polrelid = 'theirs'::regclass order by 1`
  const before = await run(policies)
  await run(
    'drop policy freehold_tenant on theirs; drop policy freehold_delete on theirs; select freehold.renew_policies()',
  )
  t.same((await run(policies)).rows, before.rows, 'as protect_table() makes them')
})
