import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectClient, quoteIdentifier, withClient } from '@freehold/postgres'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { asSuperuser, migrationsFolder } from '../../../test/kit/databases.ts'
import { KeptConnections } from '../src/kept-connections.ts'
import {
  createSiloDatabase,
  type DataMigrations,
  migrateDataDatabase,
} from '../src/resources/silo-database.ts'
import { TEMPLATE_PREFIX } from '../src/resources/silo-template.ts'

/** Silos are copies of a template: what they have, who makes it, and what comes of it when somebody dies or is older. */
const on = await startPreparedCluster('templates')
t.teardown(() => on.cluster.remove())
t.setTimeout(300_000)

const maintenance = on.as('freehold_owner', 'postgres')
const shop: DataMigrations = { freehold: migrationsFolder('data'), product: migrationsFolder('product') }

const folder = await mkdtemp(join(tmpdir(), 'freehold-templates-'))
t.teardown(() => rm(folder, { recursive: true }))

/** A product with one migration. */
async function productOf(name: string, sql: string): Promise<DataMigrations> {
  const product = join(folder, name)
  await mkdir(product)
  await writeFile(join(product, '0001_product.sql'), sql)
  return { freehold: shop.freehold, product }
}

async function makeSilo(name: string, migrations: DataMigrations): Promise<void> {
  const connections = new KeptConnections()
  try {
    await createSiloDatabase(connections, maintenance, on.as('freehold_owner', name), migrations)
  } finally {
    await connections.close()
  }
}

const inside = async <T extends object>(database: string, sql: string): Promise<T[]> =>
  withClient(asSuperuser(on.cluster, database), 'test', async (client) => (await client.query<T>(sql)).rows)

const templates = () =>
  inside<{ name: string; ready: boolean }>(
    'postgres',
    `select datname as name, not datistemplate and not datallowconn as ready from pg_database
     where starts_with(datname, '${TEMPLATE_PREFIX}')`,
  )

/** All that is in a database, but for what its server numbers, and when it was. */
const CONTENT = `
  select 'table ' || oid::regclass::text as what, concat_ws(' ', relkind, relowner::regrole, relacl, relrowsecurity, relforcerowsecurity, reloptions) as how
    from pg_class where relnamespace::regnamespace::text not like 'pg_toast%' and relname not like 'pg_toast%'
  union all select 'column ' || attrelid::regclass || ' ' || attname, concat_ws(' ', atttypid::regtype, attnotnull, attidentity, attgenerated, attacl,
    pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
    from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum where attrelid >= 16384 and attrelid::regclass::text not like 'pg_toast%'
  union all select 'policy ' || polrelid::regclass || ' ' || polname, concat_ws(' ', pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) from pg_policy
  union all select 'constraint ' || conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) from pg_constraint where conrelid <> 0
  union all select 'trigger ' || tgrelid::regclass || ' ' || tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
  union all select 'function ' || oid::regprocedure, concat_ws(' ', proowner::regrole, proacl, md5(prosrc), proconfig) from pg_proc where oid >= 16384
  union all select 'schema ' || nspname, concat_ws(' ', nspowner::regrole, nspacl) from pg_namespace where nspname not like 'pg_%'
  union all select 'managed ' || relation, concat_ws(' ', kind, tenant_column) from freehold.managed_table
  union all select 'migration ' || name, digest from (select * from freehold_migrations.data union all select * from freehold_migrations.product) applied
  union all select 'reference', currencies::text from currencies
  union all select 'database', concat_ws(' ', datdba::regrole, datacl, encoding, datcollate, datconnlimit, datistemplate, datallowconn)
    from pg_database where datname = current_database()
  order by 1, 2`

t.test('silos that are made at the same time are copies of one template, and lack nothing', async (t) => {
  const names = ['silo_1', 'silo_2', 'silo_3']
  await Promise.all(names.map((name) => makeSilo(name, shop)))
  const [template, ...others] = await templates()
  t.match(template, { ready: true }, 'nobody else may copy it')
  t.same(others, [])
  const connect = () => inside(template?.name ?? '', 'select')
  await t.rejects(connect(), { code: '55000' }, 'nobody connects to it')
  await withClient(maintenance, 'test', (client) => client.query('create database by_migrations'))
  await withClient(maintenance, 'test', (client) =>
    client.query(`revoke connect, temporary on database by_migrations from public;
      grant connect on database by_migrations to freehold_mover, freehold_app`),
  )
  await migrateDataDatabase(on.as('freehold_owner', 'by_migrations'), shop)
  const expected = await inside('by_migrations', CONTENT)
  t.ok(expected.length > 200, `${expected.length} things`)
  for (const name of names) t.same(await inside(name, CONTENT), expected)
})

t.test('a template that was never finished is not copied', async (t) => {
  const [template] = await templates()
  const name = quoteIdentifier(template?.name ?? '')
  await inside('postgres', `alter database ${name} allow_connections true`)
  await inside(template?.name ?? '', 'drop table order_lines')
  await makeSilo('after_a_death', shop)
  t.same(await inside('after_a_death', CONTENT), await inside('silo_1', CONTENT))
  t.same(await templates(), [template])
})

t.test('other migrations have another template, and the former one goes', async (t) => {
  const [former] = await templates()
  await makeSilo('of_another', await productOf('another', 'create table another (id int)'))
  const [template, ...others] = await templates()
  t.not(template?.name, former?.name)
  t.same(others, [])
  t.same(
    await inside(
      'of_another',
      "select to_regclass('another') is not null as has, to_regclass('orders') as orders",
    ),
    [{ has: true, orders: null }],
  )
})

t.test('two releases that make silos at the same time do not take each other’s template away', async (t) => {
  const products = await Promise.all(
    ['older', 'newer'].map((name) => productOf(name, `create table ${name} (id int)`)),
  )
  const made = Array.from({ length: 12 }, (_, index) => index)
  await Promise.all(made.map((index) => makeSilo(`release_${index}`, products[index % 2] ?? shop)))
  for (const index of made) {
    const [found] = await inside(
      `release_${index}`,
      "select to_regclass('older') is not null as older, to_regclass('newer') is not null as newer",
    )
    t.same(found, { older: index % 2 === 0, newer: index % 2 === 1 })
  }
})

t.test('where a migration looks at its database, each has its own', async (t) => {
  const before = await templates()
  for (const [index, look] of [
    'catalog_name from information_schema.schemata',
    'table_catalog from information_schema.tables',
  ].entries()) {
    const product = await productOf(
      `looking_${index}`,
      `create table made_in (name) as select distinct ${look}`,
    )
    await makeSilo(`looked_at_${index}`, product)
    t.same(await inside(`looked_at_${index}`, 'select name from made_in'), [{ name: `looked_at_${index}` }])
  }
  const product = await productOf(
    'looking',
    `create table made_in as select current_database()::text as name;
     do $$ begin execute format('alter database %I set work_mem = ''5MB''', current_database()); end $$`,
  )
  await makeSilo('looked_at', product)
  t.same(await inside('looked_at', 'select name from made_in'), [{ name: 'looked_at' }])
  t.same(await inside('looked_at', 'show work_mem'), [{ work_mem: '5MB' }])
  t.same(await templates(), before)
})

t.test('a migration that is refused leaves no template', async (t) => {
  const product = await productOf('refused', 'create table refused (id nonsense)')
  await t.rejects(makeSilo('never', product), { code: 'migration_failed' })
  t.same(await templates(), [])
  t.same(await inside('postgres', "select datname from pg_database where datname = 'never'"), [])
})

t.test('a silo whose worker was killed before it had anything gets everything', async (t) => {
  await withClient(maintenance, 'test', (client) => client.query('create database left_empty'))
  await makeSilo('left_empty', shop)
  t.same(await inside('left_empty', CONTENT), await inside('silo_1', CONTENT))
})

/** That of the only silo that the product has had, which is gone when this returns. */
async function takeTemplateOf(migrations: DataMigrations): Promise<string> {
  await makeSilo('for_its_template', migrations)
  const [{ name } = { name: '' }] = await templates()
  await inside('postgres', 'drop database for_its_template')
  return name
}

t.test('what another role has under the name of a template is neither copied nor filled', async (t) => {
  const product = await productOf('planted', 'create table planted (id int)')
  const name = await takeTemplateOf(product)
  await inside('postgres', `drop database ${name}`)
  await inside('postgres', `create role planter login createdb`)
  await inside('postgres', `create database ${name} owner planter`)
  await inside(name, 'create table trojan (id int); alter table trojan owner to planter')
  await inside('postgres', `alter database ${name} with is_template true`)
  for (const allows of [false, true]) {
    await inside('postgres', `alter database ${name} allow_connections ${allows}`)
    await makeSilo(`beside_${allows}`, product)
    t.same(
      await inside(
        `beside_${allows}`,
        "select to_regclass('planted') is not null as has, to_regclass('trojan') as trojan",
      ),
      [{ has: true, trojan: null }],
    )
  }
  t.same(await inside(name, "select to_regclass('planted') as planted"), [{ planted: null }])
  await inside('postgres', `alter database ${name} is_template false`)
  await inside('postgres', `drop database ${name}`)
})

t.test('what only has a name like that of a template stays, whoever owns it', async (t) => {
  const names = [`${TEMPLATE_PREFIX}of_somebody`, `${TEMPLATE_PREFIX}0123456789abcdef`]
  await inside('postgres', `create database ${names[0]} owner freehold_owner`)
  await inside('postgres', `create database ${names[1]} owner planter`)
  await makeSilo('beside_names', await productOf('beside', 'create table beside (id int)'))
  const left = (await templates()).map(({ name }) => name)
  t.same(
    names.filter((name) => left.includes(name)),
    names,
  )
  for (const name of names) await inside('postgres', `drop database ${name}`)
})

t.test(
  'while a superuser is connected to the template, silos are made without it, and it is removed later',
  async (t) => {
    const held = await productOf('held', 'create table held (id int)')
    const name = await takeTemplateOf(held)
    await inside('postgres', `alter database ${name} allow_connections true`)
    const monitor = await connectClient(asSuperuser(on.cluster, name), 'test-monitor')
    await inside('postgres', `alter database ${name} allow_connections false`)
    await makeSilo('beside_monitor', held)
    t.same(await inside('beside_monitor', "select to_regclass('held') is not null as has"), [{ has: true }])
    const next = await productOf('next', 'create table next (id int)')
    await makeSilo('next_beside_monitor', next)
    t.equal((await templates()).length, 2, 'the former one stays as long as it has to')
    await monitor.end()
    const last = await takeTemplateOf(await productOf('last', 'create table last (id int)'))
    t.same(await templates(), [{ name: last, ready: true }])
  },
)

t.test('when the operating system sorts otherwise, the template is made anew', async (t) => {
  const product = await productOf('sorted', 'create table sorted (name text primary key)')
  const name = await takeTemplateOf(product)
  await inside('postgres', `update pg_database set datcollversion = 'former' where datname = '${name}'`)
  await makeSilo('sorted_anew', product)
  t.same(
    await inside('postgres', `select datcollversion as version from pg_database where datname = '${name}'`),
    await inside('postgres', `select datcollversion as version from pg_database where datname = 'template1'`),
  )
})
