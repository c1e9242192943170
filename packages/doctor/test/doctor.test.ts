import { doctorReportSchema } from '@freehold/contract'
import { diagnose, fixScript } from '@freehold/doctor'
import { type DatabaseAddress, withClient } from '@freehold/postgres'
import t from 'tap'
import { createDataDatabase } from '../../../test/kit/databases.ts'
import { createItemsDatabase, createOwnSchema } from '../../../test/kit/tenants.ts'
import { vulnerabilitiesOf } from '../src/checks/server-version.ts'
import { openShop } from './shop-database.ts'

const shop = await openShop()
t.teardown(() => shop.prepared.cluster.remove())
const { cluster, passwords } = shop.prepared
const superuser = (database: string): DatabaseAddress => cluster.address(database)
const doctor = (database: string): DatabaseAddress => shop.asDoctor(superuser(database))

await createDataDatabase(cluster, passwords, 'pool')

/** The server of the tests is what it is; and a setting is how this product tells its tenants apart. */
const ACCEPTED = ['server-version', 'policy-trusts-setting']
const forShop = { appRole: 'shop_app', referenceTables: ['countries'], allow: ACCEPTED }

t.test("the project's own pool is clean, and every table of it was tried", async (t) => {
  const report = await diagnose(doctor('pool'), { allow: ['server-version'] })
  t.same(report.findings, [])
  t.match(report.limits, [/may not keep triggers from firing/])
  t.equal(report.limits.length, 1)
  t.same(report.tried.tables.toSorted(), report.tables.tenant)
  t.equal(report.tables.tenant.length, 5)
  t.equal(report.tried.as, 'freehold_app')
  t.ok(report.tried.attempts > 80)
  t.same(doctorReportSchema.parse(JSON.parse(JSON.stringify(report))), report)
})

t.test('so is a product that keeps its tenants apart without Freehold', async (t) => {
  const report = await diagnose(doctor('shop'), forShop)
  t.same(report.findings, [])
  t.same(report.tried.tables.toSorted(), ['public.accounts', 'public.invoices', 'public.visits'])
  t.same(report.tables.reference, ['public.countries', 'public.tenants'])
  t.match(
    report.waived.map(({ check }) => check),
    ACCEPTED,
  )
})

t.test('it changes nothing, also where a trial succeeds', async (t) => {
  const open = await shop.copy('untouched')
  await shop.run(
    open,
    'create policy open on accounts using (true); alter table invoices disable row level security',
  )
  for (const [address, options] of [
    [open, forShop],
    [superuser('pool'), {}],
  ] as const) {
    const before = await fingerprint(address)
    const report = await diagnose(shop.asDoctor(address), options)
    t.ok(report.tried.attempts > 0)
    t.same(await fingerprint(address), before)
  }
  for (const change of [
    `select nextval('accounts_ticket_seq')`,
    `update accounts set name = 'another'`,
    'grant select on accounts to public',
    'drop policy open on accounts',
  ]) {
    const before = await fingerprint(open)
    await shop.run(open, change)
    t.not(JSON.stringify(await fingerprint(open)), JSON.stringify(before), `it would be noticed: ${change}`)
  }
})

t.test('what a condition of ON CONFLICT is asked about, on servers that ask too early', async (t) => {
  const address = await shop.copy('conflicting')
  await shop.run(address, 'alter table accounts add unique (email)')
  const { rows } = await withClient(address, 'test', (client) =>
    client.query<{ number: number }>(`select current_setting('server_version_num')::int as number`),
  )
  const isOpen = vulnerabilitiesOf(rows[0]?.number ?? 0).some(({ id }) => id === 'CVE-2026-120154')
  const report = await diagnose(shop.asDoctor(address), forShop)
  const seen = report.findings.filter(({ check }) => check === 'trial-upsert')
  t.equal(seen.length, isOpen ? 1 : 0, 'the table of versions says what the server does')
  for (const { found, object } of seen) {
    t.equal(object, 'public.accounts')
    t.match(found, /was asked about another's row/)
  }
})

t.test('what could not be tried is a finding', async (t) => {
  const address = await shop.copy('awkward')
  await shop.run(
    address,
    `create type point_pair as (a point, b point);
     create table odd (tenant_id uuid not null, id int not null, pair point_pair not null, primary key (tenant_id, id));
     create table riddle (tenant_id uuid not null, answer text not null check (md5(answer) = 'no'), primary key (tenant_id, answer));
     create table wide (tenant_id point not null)`,
  )
  const report = await diagnose(shop.asDoctor(address), forShop)
  const untried = report.findings.filter(({ check }) => check === 'trial-not-tried')
  t.same(untried.map(({ object }) => object).toSorted(), ['public.odd', 'public.riddle', 'public.wide'])
  const waived = await diagnose(shop.asDoctor(address), {
    ...forShop,
    allow: [...ACCEPTED, 'trial-not-tried=public.odd'],
  })
  t.ok(waived.waived.some(({ object }) => object === 'public.odd'))

  await shop.run(address, `drop table odd, riddle, wide; alter policy own on accounts to shop_owner`)
  const blind = await diagnose(shop.asDoctor(address), forShop)
  t.match(
    blind.findings.find(({ check }) => check === 'trial-not-tried'),
    { object: 'public.accounts', found: /does not even see its own row/ },
  )
})

t.test('as owner or as the application it says what it could not check', async (t) => {
  const asOwner = await diagnose(shop.prepared.as('freehold_owner', 'pool'), { allow: ['server-version'] })
  t.same(asOwner.findings, [])
  t.equal(asOwner.tried.as, 'freehold_owner')
  t.match(asOwner.limits.join(), /may not SET ROLE freehold_app/)
  const asApp = await diagnose(shop.prepared.as('freehold_app', 'pool'), { allow: ['server-version'] })
  t.match(asApp.findings, [
    { check: 'trial-not-tried', found: /let the trial run as a member of freehold_owner/ },
  ])
  t.match(asApp.limits.join(), /may not read freehold\.resident/)
  const catalogsOnly = await diagnose(superuser('pool'), { allow: ['server-version'], trial: false })
  t.match(catalogsOnly, { findings: [], tried: { as: null, attempts: 0 }, limits: [/switched off/] })
})

t.test('other tenant columns and schemas', async (t) => {
  const address = await shop.copy('elsewhere')
  await shop.run(
    address,
    `create schema crm; create schema junk; create table junk.open (tenant_id uuid);
     create table crm.leads (account_id bigint not null, id int not null, primary key (account_id, id));
     alter table crm.leads enable row level security; alter table crm.leads force row level security;
     create function crm.me() returns bigint language sql stable set search_path = pg_catalog
       as $$ select nullif(current_setting('crm.account', true), '')::bigint $$;
     create policy own on crm.leads using (account_id = (select crm.me()));
     grant usage on schema crm to shop_app; grant select, insert, update, delete on crm.leads to shop_app`,
  )
  const options = { ...forShop, tenantColumn: 'account_id', schemas: ['crm'] }
  const report = await diagnose(shop.asDoctor(address), options)
  t.same(report.findings, [])
  t.same(report.tried.tables, ['crm.leads'])
})

t.test('a name that names nothing is refused, and not taken for a clean database', async (t) => {
  for (const wrong of [
    { schemas: ['pubilc'] },
    { referenceTables: ['contries'] },
    { allow: ['server-verison'] },
  ]) {
    await t.rejects(diagnose(doctor('shop'), { ...forShop, ...wrong }), { code: 'config_invalid' })
  }
})

t.test('a tenant in a schema of its own', async (t) => {
  const database = await createItemsDatabase(shop.prepared, 'bridge')
  await createOwnSchema(database, 'acme')
  const options = { allow: ['server-version'] }
  const report = await diagnose(shop.asDoctor(database.superuser), options)
  t.same(report.findings, [])
  t.same(report.tried.tables, ['acme.items', 'public.items'])
  await shop.run(
    database.superuser,
    `alter policy freehold_tenant on acme.items using (tenant_id = (select entered.tenant_id from freehold.entered)::uuid)`,
  )
  const widened = await diagnose(shop.asDoctor(database.superuser), options)
  t.match(
    widened.findings.map(({ check, object }) => `${check} ${object}`),
    ['policy-not-freehold acme.items'],
    'compared with what protect_table() makes in that schema',
  )
  await shop.run(database.superuser, fixScript(widened) ?? '')
  t.same((await diagnose(shop.asDoctor(database.superuser), options)).findings, [])
})

/** All that a database holds: rows, sequences, catalogs, rights and settings. */
async function fingerprint(address: DatabaseAddress): Promise<unknown> {
  return withClient(address, 'test', async (client) => {
    const relations = await client.query<{ name: string; kind: string }>(
      `select oid::regclass::text as name, relkind::text as kind from pg_class
       where relkind in ('r', 'S') and relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
         and relnamespace::regnamespace::text !~ '^pg_'`,
    )
    const state: Record<string, unknown> = {}
    for (const { name, kind } of relations.rows) {
      const sql =
        kind === 'S'
          ? `select last_value || ' ' || is_called as state from ${name}`
          : `select count(*) || ' ' || coalesce(sum(hashtextextended(x::text, 0)), 0) as state from ${name} x`
      state[name] = (await client.query<{ state: string }>(sql)).rows[0]?.state
    }
    for (const catalog of ['pg_class', 'pg_policy', 'pg_proc', 'pg_roles', 'pg_trigger', 'pg_constraint']) {
      const columns =
        catalog === 'pg_class'
          ? 'oid, relname, relacl, relrowsecurity, relforcerowsecurity, relowner, reloptions'
          : catalog === 'pg_roles'
            ? 'rolname, rolsuper, rolbypassrls, rolconfig'
            : '*'
      const { rows } = await client.query(
        `select md5(string_agg(x::text, ' ' order by x::text)) as digest from (select ${columns} from ${catalog}) x`,
      )
      state[catalog] = rows[0]?.digest
    }
    return state
  })
}
