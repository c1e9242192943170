import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { resolveSecret, withClient } from '@freehold/postgres'
import t from 'tap'
import {
  type ClusterRole,
  ensureRolePasswords,
  prepareCluster,
  rolePasswordFile,
} from '../src/cluster-roles.ts'
import { startTemporaryCluster } from '../src/temporary-cluster.ts'

const cluster = await startTemporaryCluster('roles')
const secrets = await mkdtemp(join(tmpdir(), 'freehold-secrets-'))
t.teardown(async () => {
  await cluster.remove()
  await rm(secrets, { recursive: true })
})

const passwords = await ensureRolePasswords(secrets, 'us')
await prepareCluster(cluster, passwords)
await asSuperuser('create database product')

async function asSuperuser(sql: string, database = 'postgres'): Promise<unknown[]> {
  const result = await withClient(cluster.address(database), 'test', (client) =>
    client.query({ text: sql, rowMode: 'array' }),
  )
  return result.rows.flat()
}

async function asRole(role: ClusterRole, sql: string, database = 'product'): Promise<unknown[]> {
  const address = cluster.address(database, { user: role, password: passwords[role] })
  const result = await withClient(address, 'test', (client) => client.query({ text: sql, rowMode: 'array' }))
  return result.rows.flat()
}

t.test('passwords are kept in files of their own', async (t) => {
  t.strictSame(await ensureRolePasswords(secrets, 'us'), passwords)
  t.not((await ensureRolePasswords(secrets, 'eu')).freehold_app, passwords.freehold_app)
  const file = rolePasswordFile(secrets, 'us', 'freehold_app')
  t.equal((await stat(file)).mode & 0o777, 0o600)
  t.equal(await resolveSecret(`file:${file}`), passwords.freehold_app)
  t.equal(new Set(Object.values(passwords)).size, 5)
})

t.test('each role may do what it is for, and no more', async (t) => {
  const attributes = await withClient(cluster.address('postgres'), 'test', async (client) => {
    const result = await client.query(
      `select rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication
         from pg_roles where rolname like 'freehold%' order by rolname`,
    )
    return Object.fromEntries(
      result.rows.map(({ rolname, ...flags }) => [rolname, Object.keys(flags).filter((flag) => flags[flag])]),
    )
  })
  t.strictSame(attributes, {
    freehold_app: ['rolcanlogin'],
    freehold_control: ['rolcanlogin'],
    freehold_mover: ['rolcanlogin', 'rolreplication'],
    freehold_owner: ['rolcanlogin', 'rolcreatedb'],
    freehold_reader: ['rolcanlogin'],
  })
})

t.test('only owner and mover see and end the sessions of others', async (t) => {
  const members = await asRole(
    'freehold_app',
    `select rolname from pg_roles
      where rolname like 'freehold%' and pg_has_role(rolname, 'pg_signal_backend', 'usage')
        and pg_has_role(rolname, 'pg_read_all_stats', 'usage') order by 1`,
  )
  t.strictSame(members, ['freehold_mover', 'freehold_owner'])
})

t.test('only the mover may suppress triggers', async (t) => {
  const set = `select set_config('session_replication_role', 'replica', false)`
  t.strictSame(await asRole('freehold_mover', set), ['replica'])
  await t.rejects(asRole('freehold_app', set), { code: '42501' })
  await t.rejects(asRole('freehold_owner', set), { code: '42501' })
})

t.test('only the owner may create databases', async (t) => {
  await asRole('freehold_owner', 'create database a_silo')
  await t.rejects(asRole('freehold_app', 'create database another'), { code: '42501' })
})

t.test('only the owner enters the databases that a cluster comes with', async (t) => {
  t.strictSame(await asRole('freehold_owner', 'select current_database()', 'postgres'), ['postgres'])
  await t.rejects(asRole('freehold_owner', 'create temp table mine (x int)', 'postgres'), { code: '42501' })
  await t.rejects(asRole('freehold_owner', 'select 1', 'template1'), { code: '42501' })
  for (const role of ['freehold_app', 'freehold_mover', 'freehold_control', 'freehold_reader'] as const) {
    for (const database of ['postgres', 'template1']) {
      await t.rejects(asRole(role, 'select 1', database), { code: '42501' }, `${role} in ${database}`)
    }
  }
})

t.test('nobody sets the session by an update, or uses large objects', async (t) => {
  await asRole('freehold_owner', 'create database a_new_one')
  for (const database of ['product', 'a_new_one', 'postgres', 'template1']) {
    const open = await asSuperuser(
      `select oid::regprocedure::text from pg_proc
        where starts_with(prosrc, 'be_lo') and has_function_privilege('freehold_app', oid, 'execute')
       union all select 'pg_settings' where has_table_privilege('freehold_app', 'pg_settings', 'update')`,
      database,
    )
    t.strictSame(open, [], database)
  }
  const update = `update pg_settings set setting = 'ISO, DMY' where name = 'DateStyle'`
  await t.rejects(asRole('freehold_app', update), { code: '42501' })
  await t.rejects(asRole('freehold_app', `select lo_from_bytea(0, 'x')`), { code: '42501' })
  t.strictSame(
    await asRole('freehold_app', `select count(*)::int > 0 from pg_settings`),
    [true],
    'reads them',
  )
})

t.test('preparing again mends what was changed, also twice at once', async (t) => {
  await asSuperuser(`alter role freehold_app superuser bypassrls password 'lost'`)
  await asSuperuser('grant connect on database postgres to public')
  await asSuperuser('grant update on pg_settings to public', 'template1')
  await Promise.all([prepareCluster(cluster, passwords), prepareCluster(cluster, passwords)])
  t.strictSame(await asRole('freehold_app', `select current_setting('is_superuser')`), ['off'])
  await t.rejects(asRole('freehold_app', 'select 1', 'postgres'), { code: '42501' })
  t.strictSame(
    await asSuperuser(`select has_table_privilege('freehold_app', 'pg_settings', 'update')`, 'template1'),
    [false],
  )
})
