// What somebody has planted in a database runs as nobody who could leave it: neither while a superuser's doctor reads
// the catalogs, nor during the trial.
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { diagnose, fixScript } from '@freehold/doctor'
import { clientConfig, type DatabaseAddress, quoteLiteral } from '@freehold/postgres'
import pg from 'pg'
import t from 'tap'
import { createDataDatabase } from '../../../test/kit/databases.ts'
import { openShop, protect } from './shop-database.ts'

const shop = await openShop()
const folder = await mkdtemp(join(tmpdir(), 'freehold-hostile-'))
// The server may run as another user than the tests.
await chmod(folder, 0o777)
t.teardown(async () => {
  await shop.prepared.cluster.remove()
  await rm(folder, { recursive: true })
})
const { cluster } = shop.prepared
const options = {
  appRole: 'shop_app',
  referenceTables: ['countries'],
  allow: ['server-version', 'policy-trusts-setting'],
}

/** Leaves a file behind if, and only if, whoever runs it may write to the disk of the server. */
const mark = (name: string) => `
  begin execute format('copy (select 1) to %L', ${quoteLiteral(join(folder, name))});
  exception when others then null; end;`

const marking = (signature: string, returns: string, name: string, result: string) =>
  `create function ${signature} returns ${returns} language plpgsql as $$ begin ${mark(name)} return ${result}; end $$;`

async function marks(): Promise<string[]> {
  const found = (await readdir(folder)).sort()
  await Promise.all(found.map((name) => rm(join(folder, name), { force: true })))
  return found
}

/** Runs SQL with the search_path of the database, as psql would. */
async function runAsEverybody(address: DatabaseAddress, sql: string): Promise<void> {
  const client = new pg.Client(clientConfig(address, 'test'))
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

t.test('defaults, constraints, triggers and policies', async (t) => {
  const address = await shop.copy('hostile')
  await shop.run(
    address,
    `set role shop_owner;
     ${marking('by_check()', 'boolean', 'check', 'true')}
     ${marking('by_default()', 'text', 'default', `'x'`)}
     ${marking('by_policy()', 'uuid', 'policy', `nullif(current_setting('app.tenant_id', true), '')::uuid`)}
     ${marking('by_trigger()', 'trigger', 'trigger', 'new')}
     create table notes (tenant_id uuid not null, id int not null, body text default by_default(),
       primary key (tenant_id, id), check (by_check()));
     ${protect('notes')}
     create policy also on notes as restrictive using (tenant_id = by_policy());
     create trigger noting before insert on notes for each row execute function by_trigger()`,
  )
  const insert = `insert into notes (tenant_id, id) values ('00000000-0000-4000-8000-00000000000a', 1)`
  await shop.run(address, `begin; ${insert}; set local role shop_app; select from notes; rollback`)
  const ran = await marks()
  t.match(ran, ['check', 'default', 'trigger'], 'as superuser they run, and no rollback undoes it')

  const asSuperuser = await diagnose(address, options)
  t.same(await marks(), [])
  t.match(asSuperuser, {
    connectedAs: cluster.superuser.user,
    tried: { as: null, attempts: 0 },
    findings: [
      { check: 'trial-not-tried', severity: 'blocking', fix: /--trial-url postgres:\/\/shop_owner@/ },
    ],
  })
  t.match(asSuperuser.findings[0]?.found, /is a superuser, and the trial runs code of the database/)
  t.same((await diagnose(address, { ...options, trial: false })).findings, [])

  const trialAddress = shop.asDoctor(address)
  const tried = await diagnose(address, { ...options, trialAddress })
  t.match(tried, { findings: [], connectedAs: cluster.superuser.user, tried: { as: 'shop_app' } })
  t.ok(tried.tried.tables.includes('public.notes'))
  t.same(await marks(), [], 'tried as a role of the database, they do what it could do anyway')
})

t.test('roles that could become the server', async (t) => {
  const address = await shop.copy('powerful')
  const trialAddress = shop.asDoctor(address)
  for (const role of ['pg_write_server_files', 'pg_execute_server_program', cluster.superuser.user]) {
    await shop.run(address, `grant ${role} to shop_doctor`)
    for (const report of [
      await diagnose(trialAddress, options),
      await diagnose(address, { ...options, trialAddress }),
    ]) {
      t.match(report, { tried: { attempts: 0 }, findings: [{ check: 'trial-not-tried' }] }, role)
    }
    await shop.run(address, `revoke ${role} from shop_doctor`)
  }
  t.same((await diagnose(trialAddress, options)).findings, [], 'without them it is tried')
  await t.rejects(diagnose(address, { ...options, trialAddress: shop.asDoctor(cluster.address('shop')) }), {
    code: 'config_invalid',
    message: /not the address of the same database/,
  })
})

t.test('a schema that calls itself freehold', async (t) => {
  const address = await shop.copy('pretender')
  await shop.run(
    address,
    `set role shop_owner;
     create schema freehold; grant usage on schema freehold to public;
     ${marking('freehold.managed()', 'setof regclass', 'managed', '').replace(
       'return ;',
       `return query select 'accounts'::regclass;`,
     )}
     create view freehold.managed_table as
       select relation, 'tenant'::text as kind, 'tenant_id'::name as tenant_column from freehold.managed() relation;
     create view freehold.tenant_schema as select 'acme'::name as schema_name from freehold.managed();
     create view freehold.applied as select 'x'::text as stream, now() as updated_at from freehold.managed();
     create view freehold.resident as
       select 'x'::text as tenant_id, 'active'::text as state, now() as fence_expires_at from freehold.managed();
     create function freehold.protect_table(regclass, name) returns void language plpgsql
       as $$ begin ${mark('protect')} end $$`,
  )
  await shop.run(
    address,
    `begin; select * from freehold.managed_table; select freehold.protect_table('accounts', 'x'); rollback`,
  )
  t.same(await marks(), ['managed', 'protect'], 'who selects from it or calls it runs it')

  const report = await diagnose(address, { ...options, trial: false })
  t.same(await marks(), [])
  const found = report.findings.map(({ check, object }) => `${check} ${object}`)
  for (const object of ['view freehold.managed_table', 'function freehold.protect_table(regclass,name)']) {
    t.ok(found.includes(`freehold-schema ${object}`), object)
  }
  t.notMatch(fixScript(report), 'select freehold.', 'nor does the printed SQL call any of it')
  await shop.run(address, 'drop schema freehold cascade')
})

t.test('casts of types that look like those of Freehold', async (t) => {
  await createDataDatabase(cluster, shop.prepared.passwords, 'casting')
  const address = cluster.address('casting')
  await shop.run(
    address,
    `set role freehold_owner;
     create function freehold.as_text(freehold.table_kind) returns text language plpgsql
       as $$ begin ${mark('cast')} return 'tenant'; end $$;
     create cast (freehold.table_kind as text) with function freehold.as_text`,
  )
  await shop.run(address, 'select kind::text from freehold.managed_table')
  t.same(await marks(), ['cast'], 'a cast runs it')
  const report = await diagnose(address, { trial: false })
  t.same(await marks(), [])
  t.match(
    report.findings.filter(({ check }) => check === 'freehold-schema').map(({ object }) => object),
    [/^function freehold\.as_text/, /^cast /],
  )
})

t.test('a search_path of the database in which PostgreSQL comes last', async (t) => {
  const address = await shop.copy('misled')
  await shop.run(
    address,
    `create schema evil authorization shop_owner; grant usage on schema evil to public; set role shop_owner;
     ${marking('evil.set_config(text, text, boolean)', 'text', 'set_config', 'null')}
     ${marking('evil.same(name, text)', 'boolean', 'operator', 'true')}
     create operator evil.= (leftarg = name, rightarg = text, function = evil.same);
     ${marking('evil.settings()', 'text', 'view', `'x'`)}
     create view evil.pg_settings as select evil.settings() as name, 'x'::text as setting;
     create view evil.pg_roles as select evil.settings() as rolname, true as rolsuper`,
  )
  await shop.run(
    cluster.address('postgres'),
    'alter database misled set search_path = evil, pg_catalog, public',
  )
  await runAsEverybody(
    address,
    `select set_config('x.y', '', false); select * from pg_settings; select 'a'::name = 'a'::text`,
  )
  t.same(await marks(), ['operator', 'set_config', 'view'], 'who looks names up there runs them')
  await diagnose(address, { ...options, trial: false })
  t.same(await marks(), [])
})
