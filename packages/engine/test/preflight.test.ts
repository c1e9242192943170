import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ChangeStreamChoice,
  clusterIdSchema,
  createTenantSchema,
  type FindingCode,
  findingRegistry,
  isBlocked,
  isFreeholdError,
  type MovePlan,
  moveTargetSchema,
  type Tenant,
} from '@freehold/contract'
import { admitResident, planMove } from '@freehold/engine'
import { connectClient, deriveEntryKey, quoteIdentifier, withClient } from '@freehold/postgres'
import t from 'tap'
import { registerTestCluster, startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { asSuperuser, createDataDatabase } from '../../../test/kit/databases.ts'
import { type MovingGround, prepareMovingGround, TEST_ENTRY_SECRET } from '../../../test/kit/moving-ground.ts'
import { refuseBlocked } from '../src/preflight/finding.ts'

/** Extensions that only the first server has. */
const extensions = await mkdtemp(join(tmpdir(), 'freehold-extensions-'))
await chmod(extensions, 0o755)
await mkdir(join(extensions, 'extension'))
for (const name of ['used_extension', 'idle_extension']) {
  await writeFile(join(extensions, 'extension', `${name}.control`), "default_version = '1'\n")
  await writeFile(
    join(extensions, 'extension', `${name}--1.sql`),
    `create domain ${name}_text as text; grant usage on type ${name}_text to public;`,
  )
}

const ground: MovingGround = await prepareMovingGround({
  usSettings: {
    max_prepared_transactions: '2',
    extension_control_path: `${extensions}:$system`,
  },
})
const poor = await startPreparedCluster('poor', {
  wal_level: 'replica',
  max_wal_senders: '1',
  max_replication_slots: '1',
  max_connections: '6',
  max_slot_wal_keep_size: '64MB',
})
t.teardown(async () => {
  await ground.remove()
  await poor.cluster.remove()
  await rm(extensions, { recursive: true })
})

const pool = asSuperuser(ground.us.cluster, 'pool')
const inPool = (sql: string) => withClient(pool, 'test', (client) => client.query(sql))
const inPoor = (sql: string, database = 'postgres') =>
  withClient(asSuperuser(poor.cluster, database), 'test', (client) => client.query(sql))

await createDataDatabase(poor.cluster, poor.passwords, 'pool')
await registerTestCluster(ground.catalog, poor, 'us-poor')
const tenant = await ground.tenant('acme', 50)

/** Each table has one thing, or two, that a move should know. */
const AWKWARD = `
  create sequence tickets; create sequence hidden_number;
  create table keyless (tenant_id uuid not null, id int);
  create table half_logged (tenant_id uuid, id int, primary key (tenant_id, id));
  create unlogged table unlogged (tenant_id uuid, id int, primary key (tenant_id, id));
  create table unguarded (tenant_id uuid, id int, primary key (tenant_id, id));
  create table numbered (tenant_id uuid, id int default nextval('tickets'), primary key (tenant_id, id));
  create table hidden (tenant_id uuid, id int default nextval('hidden_number'), primary key (tenant_id, id));
  create table renamed (tenant_id uuid, id int, primary key (tenant_id, id));
  create table triggered (tenant_id uuid, id int, primary key (tenant_id, id));
  create table ruled (tenant_id uuid, id int, primary key (tenant_id, id));
  create table base (tenant_id uuid, id int, primary key (tenant_id, id));
  create table heir (primary key (tenant_id, id)) inherits (base);
  create table bookings (tenant_id uuid, id int, code text unique, during int4range, primary key (tenant_id, id),
    constraint one_booking_at_a_time exclude using gist (during with &&));
  create table undefaulted (tenant_id uuid, id int, primary key (tenant_id, id));
  create table stray (id int primary key, tenant_id uuid, of int, foreign key (tenant_id, of) references ruled);
  create table rates (id int primary key, tenant_id uuid, of int, foreign key (tenant_id, of) references ruled);
  select freehold.protect_table(name::regclass) from unnest(array['keyless', 'half_logged', 'unlogged', 'unguarded',
    'numbered', 'hidden', 'renamed', 'triggered', 'ruled', 'base', 'heir', 'bookings', 'undefaulted']) name;
  select freehold.declare_reference_table('rates');
  alter table half_logged replica identity nothing;
  alter table unguarded no force row level security;
  alter table renamed rename column tenant_id to account_id;
  create trigger always before insert on triggered for each row execute function touch_updated_at();
  alter table triggered enable always trigger always;
  create rule always as on delete to ruled do also notify x;
  alter table ruled enable always rule always;
  create rule usual as on insert to ruled do also notify x;
  alter table undefaulted alter column tenant_id drop default`

const AWKWARD_TABLES = [
  'keyless',
  'half_logged',
  'unlogged',
  'unguarded',
  'numbered',
  'hidden',
  'renamed',
  'triggered',
  'ruled',
  'base',
  'heir',
  'bookings',
  'undefaulted',
  'stray',
  'rates',
  'of_another_owner',
  'of_extension',
]

/** What was found on real servers in the course of this file. */
const seen = new Set<FindingCode>()

async function plan(
  of: Tenant,
  cluster: string,
  changeStream: ChangeStreamChoice = 'auto',
  rollbackWindowSeconds = 0,
): Promise<MovePlan> {
  const { plan } = await planMove(ground.catalog, {
    tenantIdOrSlug: of.id,
    target: moveTargetSchema.parse({ isolation: 'silo', cluster }),
    changeStream,
    rollbackWindowSeconds,
    entrySecret: TEST_ENTRY_SECRET,
  })
  for (const { code } of plan.findings) seen.add(code)
  return plan
}

const ABOUT_THE_WAY_BACK: readonly FindingCode[] = [
  'rollback_window_unavailable',
  'followed_back_by_triggers',
  'role_right_missing',
  'slot_may_be_lost',
]

const codes = ({ findings }: MovePlan) => [...new Set(findings.map(({ code }) => code))].sort()

/** What blocks, but for the transaction that grows old: how far it has come by then is the machine's business. */
const blockers = ({ findings }: MovePlan) =>
  findings.filter(({ severity, code }) => severity === 'blocking' && code !== 'prepared_transaction')

// Transactions that have to grow old first.
const stranger = await connectClient(asSuperuser(ground.us.cluster, 'postgres'), 'nightly-report')
t.teardown(() => stranger.end())
await stranger.query("begin; select pg_current_xact_id(); prepare transaction 'forgotten'")
await stranger.query('begin; select pg_current_xact_id()')

t.test('the example product can be moved, and its plan says what that takes', async (t) => {
  const planned = await plan(tenant, 'eu-1')
  const { estimates, tables } = planned
  t.same(blockers(planned), [])
  t.ok(tables.length >= 5)
  t.equal(
    estimates?.rows,
    tables.reduce((sum, { rowsEstimated }) => sum + rowsEstimated, 0),
  )
  t.ok((estimates?.seconds ?? 0) >= 1.5, 'something is always to be done')
  t.ok((estimates?.extraDisk.targetBytes ?? 0) > 5_000_000, 'an empty database takes room as well')
  t.equal(estimates?.connections.replication, 2)
})

t.test('awkward tables are found, whichever way they are', async (t) => {
  const clean = codes(await plan(tenant, 'eu-1'))
  await withClient(ground.us.as('freehold_owner', 'pool'), 'test', (owner) => owner.query(AWKWARD))
  await inPool(`
    grant create on schema public to freehold_owner;
    create extension used_extension; create extension idle_extension;
    create table of_extension (tenant_id uuid, id int, text used_extension_text, primary key (tenant_id, id));
    alter table of_extension owner to freehold_owner;
    select freehold.protect_table('of_extension');
    revoke all on sequence hidden_number from freehold_mover;
    create table of_another_owner (code text primary key);
    select freehold.declare_reference_table('of_another_owner');
    update pg_class set reltuples = 2e6 where oid = 'of_another_owner'::regclass;
    select lo_create(0);
    create function watch() returns event_trigger language plpgsql as 'begin end';
    create event trigger watches_ddl on ddl_command_end execute function watch();
    alter table freehold.resident rename column left_at to gone_at;
    update pg_database set datcollversion = '0' where datname = 'pool'`)
  const found = await plan(tenant, 'eu-1')
  t.same(
    codes(found).filter((code) => !clean.includes(code)),
    [
      'collation_outdated',
      'database_outdated',
      'event_trigger',
      'extension_missing',
      'extension_unused',
      'key_without_tenant',
      'large_objects',
      'primary_key_unfit',
      'reference_needs_tenant_table',
      'reference_table_large',
      'reference_table_out_of_reach',
      'replica_identity_unfit',
      'replica_rule',
      'replica_trigger',
      'row_security_off',
      'sequence_out_of_reach',
      'shared_sequence',
      'table_inheritance',
      'table_rule',
      'table_undeclared',
      'table_unlogged',
      'tenant_column_default',
      'tenant_column_missing',
    ],
  )
  const about = (code: FindingCode) =>
    found.findings.filter((finding) => finding.code === code).map(({ object }) => object)
  t.same(about('key_without_tenant'), ['bookings', 'bookings'], 'a unique index and an exclusion constraint')
  t.same(about('table_inheritance'), ['base', 'heir'])
  t.same(about('table_undeclared'), ['stray', 'stray'], 'undeclared, and tied to a tenant table')
  t.same(about('extension_missing'), ['used_extension'])
  const severities = found.findings.map(({ severity }) => severity)
  t.same(severities, [...severities].sort().reverse(), 'what blocks comes first')

  const refusal: unknown = await ground.startMove(tenant).catch((error: unknown) => error)
  if (!isFreeholdError(refusal)) throw refusal
  t.equal(refusal.code, 'table_without_tenant_column', 'the error of the first')
  const blocking = found.findings.filter(({ severity }) => severity === 'blocking')
  t.equal(refusal.issues?.length, blocking.length, 'and all of them are named')
  for (const { code } of blocking) t.match(String(refusal.details.findings), code)
  t.same((await ground.catalog.moves.list({ limit: 10 })).items, [], 'nothing was begun')
  await inPool(`
    drop event trigger watches_ddl;
    delete from freehold.managed_table where relation in (select oid from pg_class
      where relname in (select unnest(string_to_array('${AWKWARD_TABLES.join(',')}', ','))));
    drop table ${AWKWARD_TABLES.join(', ')} cascade;
    drop extension used_extension; drop extension idle_extension;
    alter table freehold.resident rename column gone_at to left_at;
    update pg_database set datcollversion = null where datname = 'pool'`)
  t.same(blockers(await plan(tenant, 'eu-1')), [])
})

t.test('a server that is not made for moves is told from one that is', async (t) => {
  const poorTenant = await inPoorPool('shared')
  await inPoor(`
    alter role freehold_owner nocreatedb; alter role freehold_mover noreplication bypassrls;
    alter role freehold_app rename to app_of_others; update pg_database set datistemplate = false where datname = 'template1'`)
  await inPoor('drop database template1')
  await inPoor("create database template1 template template0 encoding 'LATIN1' locale 'C'")

  const away = codes(await plan(poorTenant, 'eu-1', 'logical'))
  for (const code of [
    'logical_decoding_off',
    'slots_exhausted',
    'senders_exhausted',
    'slot_may_be_lost',
    'role_right_missing',
    'role_missing',
    'role_too_powerful',
  ] as const) {
    t.ok(away.includes(code), `as a source: ${code}`)
  }
  const followed = codes(await plan(poorTenant, 'eu-1'))
  t.ok(followed.includes('followed_by_triggers'), 'its log is not asked for where it is not to be had')
  for (const code of ['logical_decoding_off', 'slots_exhausted', 'senders_exhausted'] as const) {
    t.notOk(followed.includes(code), `nor missed: ${code}`)
  }
  await inPool('create extension idle_extension')
  const towards = codes(await plan(tenant, 'us-poor-1'))
  for (const code of [
    'encoding_differs',
    'collation_differs',
    'extension_unused',
    'role_right_missing',
    'role_missing',
    'connections_exhausted',
  ] as const) {
    t.ok(towards.includes(code), `as a target: ${code}`)
  }
  t.notOk(towards.includes('logical_decoding_off'), 'a target only writes')
  t.notOk(towards.includes('rollback_window_unavailable'))
  const back = async (changeStream: ChangeStreamChoice) =>
    (await plan(tenant, 'us-poor-1', changeStream, 60)).findings.filter(
      ({ code }) => code === 'rollback_window_unavailable' || code === 'followed_back_by_triggers',
    )
  const lacking =
    /wal_level is replica and \d of 1 replication slots are left and \d of 1 WAL senders are left/
  t.match(await back('logical'), [
    { severity: 'blocking', code: 'rollback_window_unavailable', found: lacking },
  ])
  const [byTriggers, ...others] = await back('auto')
  t.match(byTriggers, { severity: 'advisory', code: 'followed_back_by_triggers', found: lacking })
  t.match(byTriggers?.found, /and the mover may not replicate\.$/)
  t.same(others, [], 'triggers can be had everywhere')
  t.same(await back('triggers'), [], 'who has asked for them knows')
  await inPool('drop extension idle_extension')
})

t.test(
  'a way back by the log needs its right and its log at the target; one by triggers needs neither',
  async (t) => {
    const { cluster } = ground.eu
    const inEu = (sql: string) =>
      withClient(asSuperuser(cluster, 'postgres'), 'test', (client) => client.query(sql))
    const found = async (changeStream: ChangeStreamChoice, windowSeconds: number) =>
      (await plan(tenant, 'eu-1', changeStream, windowSeconds)).findings
        .filter(({ code }) => ABOUT_THE_WAY_BACK.includes(code))
        .map(({ code, object }) => `${code}: ${object}`)
    await inEu('alter role freehold_mover noreplication')
    t.teardown(() => inEu('alter role freehold_mover replication'))
    t.same(await found('logical', 0), [], 'a target without a way back only writes')
    t.same(await found('logical', 60), ['role_right_missing: freehold_mover on eu-1'])
    t.same(await found('triggers', 60), [])
    t.same(await found('auto', 60), ['followed_back_by_triggers: eu-1'])
    await inEu('alter role freehold_mover replication')

    t.teardown(async () => {
      await inEu('alter system reset max_slot_wal_keep_size')
      await inEu('select pg_reload_conf()')
    })
    await inEu("alter system set max_slot_wal_keep_size = '64MB'")
    await inEu('select pg_reload_conf()')
    t.same(await found('auto', 0), [], 'the target keeps no log when there is no way back')
    t.same(await found('auto', 60), ['slot_may_be_lost: eu-1'])
    t.same(await found('triggers', 60), [], 'no log is kept')
    const kept = async (changeStream: ChangeStreamChoice, windowSeconds: number) =>
      (await plan(tenant, 'eu-1', changeStream, windowSeconds)).estimates?.extraDisk.windowBytes
    t.equal(await kept('auto', 0), 0)
    t.equal(await kept('logical', 1e9), 64 * 1024 * 1024, 'more than that the server does not keep')
    t.ok(((await kept('triggers', 1e9)) ?? 0) > 64 * 1024 * 1024, 'nothing bounds the notes but the window')
  },
)

t.test('on one server the streams of both directions need a slot at the same time', async (t) => {
  const found = async (changeStream: ChangeStreamChoice) =>
    codes(await plan(tenant, 'us-1', changeStream, 60)).filter((code) => ABOUT_THE_WAY_BACK.includes(code))
  const slots = await inPool(
    "select current_setting('max_replication_slots')::int - count(*)::int as left from pg_replication_slots",
  )
  const held: string[] = []
  t.teardown(async () => {
    for (const name of held) await inPool(`select pg_drop_replication_slot('${name}')`)
  })
  for (let left = Number(slots.rows[0].left); left > 3; left--) {
    held.push(`held_${left}`)
    await inPool(`select pg_create_physical_replication_slot('held_${left}')`)
  }
  t.same(await found('auto'), [])
  held.push('held_last')
  await inPool("select pg_create_physical_replication_slot('held_last')")
  t.same(await found('auto'), ['followed_back_by_triggers'])
  t.same(await found('logical'), ['rollback_window_unavailable'])
})

t.test('sides that cannot be reached, or have no room, are findings like others', async (t) => {
  const { topology } = ground.catalog
  const { cluster } = tenant.placement
  const known = await topology.cluster(cluster)
  await topology.registerCluster({ ...known, capacityBytes: 1 })
  t.ok(codes(await plan(tenant, 'eu-1')).includes('source_without_room'))
  await topology.registerCluster(known)
  const target = await topology.cluster(clusterIdSchema.parse('eu-1'))
  await topology.registerCluster({ ...target, capacityBytes: 1e12 })
  t.ok(codes(await plan(tenant, 'eu-1', 'auto', 1e9)).includes('window_without_room'))
  t.notOk(codes(await plan(tenant, 'eu-1', 'auto', 0)).includes('window_without_room'))
  await topology.registerCluster(target)
  await topology.registerCluster({ ...known, port: 1 })
  const unreachable = await plan(tenant, 'eu-1')
  t.match(unreachable, { findings: [{ code: 'source_unreachable' }], estimates: null, tables: [] })
  await topology.registerCluster(known)
})

t.test('what a change stream would wait for is told once it has lasted', async (t) => {
  for (;;) {
    const found = (await plan(tenant, 'eu-1')).findings
    const transaction = found.find(({ code }) => code === 'transaction_open')
    if (transaction === undefined) {
      await sleep(250)
      continue
    }
    t.match(transaction.found, /nightly-report\) has been writing in postgres for \d+ s/)
    t.match(found[0], { code: 'prepared_transaction', object: 'forgotten' })
    break
  }
  await t.rejects(ground.startMove(tenant), { code: 'source_busy' })
  await stranger.query('rollback')
  await stranger.query("rollback prepared 'forgotten'")
  t.notOk(isBlocked(await plan(tenant, 'eu-1')))
})

t.test('who writes to the tables and has not entered is told while it lasts', async (t) => {
  const fixer = await connectClient(pool, 'data-fix')
  t.teardown(() => fixer.end())
  const told = async () =>
    (await plan(tenant, 'eu-1')).findings.find(({ code }) => code === 'writer_not_entered')
  await fixer.query('begin; update customers set name = name')
  t.match(await told(), { severity: 'advisory', object: 'customers', found: /\(data-fix\) of role/ })
  await fixer.query('rollback')
  t.equal(await told(), undefined)
})

t.test('settings that sessions would not have at the target are told, without their values', async (t) => {
  const told = async () =>
    (await plan(tenant, 'eu-1')).findings.filter(({ code }) => code === 'settings_differ')
  t.same(await told(), [])
  await inPool("alter database pool set timezone = 'Asia/Tokyo'")
  await inPool("alter role freehold_app in database pool set app.secret = 'not to be told'")
  t.match(await told(), [
    { severity: 'advisory', object: 'TimeZone' },
    { severity: 'advisory', object: 'app.secret' },
  ])
  t.notMatch(JSON.stringify(await told()), /not to be told|Tokyo/)
  await inPool('alter database pool reset timezone')
  await inPool('alter role freehold_app in database pool reset app.secret')
  t.same(await told(), [])
})

t.test('what somebody has put where the silo is to be stops the move, and stays', async (t) => {
  const move = await ground.startMove(tenant)
  const { database } = move.to
  const inEu = asSuperuser(ground.eu.cluster, 'postgres')
  await withClient(inEu, 'test', (client) => client.query(`create database ${quoteIdentifier(database)}`))
  const engine = ground.engine()
  t.teardown(() => engine.stop())
  await engine.nudge(move.id)
  const ended = await ground.ended(move.id)
  t.match(ended, {
    phase: 'aborted',
    error: { code: 'move_blocked', details: { findings: 'target_not_empty' } },
  })
  seen.add('target_not_empty')
  await withClient(inEu, 'test', (client) => client.query(`drop database ${quoteIdentifier(database)}`))
})

t.test('every finding of the registry has been found, or is tried elsewhere', async (t) => {
  const elsewhere: Readonly<Partial<Record<FindingCode, string>>> = {
    tenant_moving: 'apps/control-api/test/moves.test.ts',
    residency_violation: 'apps/control-api/test/moves.test.ts',
    target_unreachable: 'apps/control-api/test/moves.test.ts',
    target_without_room: 'apps/control-api/test/moves.test.ts',
    target_is_home: 'test/e2e/bad-input.test.ts',
    target_occupied: 'packages/engine/test/given-up-targets.test.ts',
    key_collision: 'packages/engine/test/given-up-targets.test.ts',
    table_differs: 'packages/engine/test/reference-tables.test.ts',
    reference_row_missing: 'packages/engine/test/reference-tables.test.ts',
    reference_table_differs: 'packages/engine/test/reference-tables.test.ts',
    application_locked_out: 'packages/engine/test/recheck.test.ts',
    slot_lost: 'packages/engine/test/recheck.test.ts',
    server_unsupported: 'packages/engine/test/preflight-checks.test.ts',
    server_untested: 'packages/engine/test/preflight-checks.test.ts',
    server_older: 'packages/engine/test/preflight-checks.test.ts',
    feature_missing: 'packages/engine/test/preflight-checks.test.ts',
    routine_missing: 'test/moves/versions.test.ts',
    value_unsupported: 'test/moves/versions.test.ts',
  }
  const missing = Object.keys(findingRegistry).filter(
    (code) => !seen.has(code as FindingCode) && !Object.hasOwn(elsewhere, code),
  )
  t.same(missing, [])
  for (const [code, file] of Object.entries(elsewhere)) {
    const test = await readFile(new URL(`../../../${file}`, import.meta.url), 'utf8')
    t.match(test, code, `${file} tries ${code}`)
  }
})

t.test('these findings block a move, each by itself, and no others', async (t) => {
  const blocking = [
    'application_locked_out',
    'connections_exhausted',
    'database_outdated',
    'encoding_differs',
    'extension_missing',
    'feature_missing',
    'key_collision',
    'logical_decoding_off',
    'prepared_transaction',
    'primary_key_unfit',
    'reference_needs_tenant_table',
    'reference_row_missing',
    'reference_table_out_of_reach',
    'replica_identity_unfit',
    'replica_rule',
    'replica_trigger',
    'residency_violation',
    'role_missing',
    'role_right_missing',
    'role_too_powerful',
    'rollback_window_unavailable',
    'routine_missing',
    'row_security_off',
    'senders_exhausted',
    'sequence_out_of_reach',
    'server_unsupported',
    'slot_lost',
    'slots_exhausted',
    'source_unreachable',
    'table_differs',
    'table_inheritance',
    'table_undeclared',
    'table_unlogged',
    'target_is_home',
    'target_not_empty',
    'target_occupied',
    'target_unreachable',
    'target_without_room',
    'tenant_column_missing',
    'tenant_moving',
    'value_unsupported',
  ] as const satisfies readonly FindingCode[]
  for (const code of Object.keys(findingRegistry) as FindingCode[]) {
    const finding = { code, object: 'something', found: 'It is so.' }
    const isRefused = blocking.some((one) => one === code)
    if (isRefused) t.throws(() => refuseBlocked([finding]), { message: 'It is so.' }, code)
    else t.doesNotThrow(() => refuseBlocked([finding]), code)
  }
})

/** A tenant in the pool of the poor server. */
async function inPoorPool(slug: string): Promise<Tenant> {
  const { tenant } = await ground.catalog.tenants.create(
    createTenantSchema.parse({ slug, name: slug, region: 'us-poor' }),
    (tenantId, { dataDatabaseId, epoch, database }) =>
      withClient(poor.as('freehold_mover', database), 'test', (client) =>
        admitResident(client, {
          tenantId,
          epoch,
          entryKey: deriveEntryKey(TEST_ENTRY_SECRET, { tenantId, dataDatabaseId, epoch }),
        }),
      ),
  )
  return tenant
}
