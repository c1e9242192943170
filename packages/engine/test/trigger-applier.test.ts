import { randomInt, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import {
  connectClient,
  deriveEntryKey,
  entryDigest,
  quoteLiteral,
  quoteTable,
  withClient,
} from '@freehold/postgres'
import type pg from 'pg'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { asSuperuser, createDataDatabase } from '../../../test/kit/databases.ts'
import { until } from '../../../test/kit/until.ts'
import { pairTables, readTables } from '../src/database/tables.ts'
import { claimTarget } from '../src/database/target-claim.ts'
import { dropChangeTriggers } from '../src/resources/change-triggers.ts'
import { dropPublication } from '../src/resources/publication.ts'
import type { Applier, StreamRoute } from '../src/stream/change-stream.ts'
import { logStream } from '../src/stream/log-stream.ts'
import { triggerStream } from '../src/stream/trigger-stream.ts'

/** One cluster, two databases: what triggers note in `source` is carried to `target`. */
const on = await startPreparedCluster('triggers', {
  // Nothing is written to disk by the by: what is not secured stays in memory.
  wal_writer_delay: '10s',
})
t.teardown(() => on.cluster.remove())
t.setTimeout(300_000)

/** Keys that change, values that are unique, keys whose text depends on settings, rows that change their partition. */
const TABLES = `
  create table seat (tenant_id uuid not null, id int not null, place int not null, guest text, weight numeric,
    twice int generated always as (place * 2) stored, primary key (tenant_id, id), unique (tenant_id, place));
  create table reading (tenant_id uuid not null, at timestamptz not null, level float8 not null, note text,
    serial bigint generated always as identity, primary key (tenant_id, at, level)) partition by range (at);
  create table reading_old partition of reading for values from (minvalue) to ('2026-06-01 00:00:00+00');
  create table reading_new partition of reading for values from ('2026-06-01 00:00:00+00') to (maxvalue);
  create table meal (tenant_id uuid not null, id int not null, seat int not null, primary key (tenant_id, id),
    foreign key (tenant_id, seat) references seat (tenant_id, id) on update cascade on delete cascade
      deferrable initially deferred);
  select freehold.protect_table('seat'), freehold.protect_table('reading'), freehold.protect_table('meal');
  create function shout() returns trigger language plpgsql as $$ begin new.guest := upper(new.guest); return new; end $$;
  create trigger shout before insert or update on seat for each row execute function shout()`
const [tenantId, otherId] = [randomUUID(), randomUUID()]
const entryKey = deriveEntryKey('x'.repeat(32), { tenantId, dataDatabaseId: randomUUID(), epoch: 1 })
for (const name of ['source', 'target']) {
  await createDataDatabase(on.cluster, on.passwords, name)
  await withClient(on.as('freehold_owner', name), 'test', (owner) => owner.query(TABLES))
  await withClient(asSuperuser(on.cluster, name), 'test', (client) =>
    client.query(
      "insert into freehold.resident (tenant_id, epoch, entry_digest, state) values ($1, 1, $2, 'active')",
      [tenantId, entryDigest(entryKey)],
    ),
  )
}
const source = asSuperuser(on.cluster, 'source')
const target = asSuperuser(on.cluster, 'target')
const owner = on.as('freehold_owner', 'source')
const tables = await withClient(on.as('freehold_mover', 'source'), 'test', (client) => readTables(client))
const scope = { tenantId, epoch: 1, entryKey, schema: 'public' }

function routeOf(name: string): StreamRoute {
  return {
    stream: 'moved',
    name,
    from: { ...scope, mover: on.as('freehold_mover', 'source'), owner },
    to: { ...scope, mover: on.as('freehold_mover', 'target') },
    tables: pairTables(tables, tables),
  }
}

const patience = { timeoutMs: 10_000, signal: new AbortController().signal }

/** A stream from here on, with an applier; both end with the test. */
async function follow(t: Tap, name: string, token = 1): Promise<Applier> {
  const stream = triggerStream(routeOf(name))
  const { release } = await stream.create(patience)
  await release()
  t.teardown(() => withClient(owner, 'test', (client) => dropChangeTriggers(client, name)))
  return start(t, name, token)
}

async function start(t: Tap, name: string, token: number): Promise<Applier> {
  const route = routeOf(name)
  await withClient(route.to.mover, 'test', (mover) =>
    claimTarget(mover, { stream: route.stream, fencingToken: token }),
  )
  const applier = await triggerStream(route).startApplier(token, { arePassedOver: () => false })
  t.teardown(() => applier.close())
  return applier
}
type Tap = { teardown(end: () => unknown): void }

const CONTENT = ['seat', 'reading', 'meal'].map(
  (table) => `select '${table} ' || t::text as row from ${table} t where tenant_id = '${tenantId}'`,
)
async function content(client: pg.ClientBase): Promise<string[]> {
  const found = await client.query<{ row: string }>(`${CONTENT.join(' union all ')} order by 1`)
  return found.rows.map(({ row }) => row)
}
/** @returns how many of them there are. */
async function holdNotes(client: pg.ClientBase): Promise<number> {
  await client.query('begin')
  const { rowCount } = await client.query('select from freehold.change for update')
  return rowCount ?? 0
}
const contentOf = (database: typeof source) => withClient(database, 'test', content)
const write = (sql: string) =>
  withClient(source, 'test', (client) =>
    client.query(sql.replaceAll(':me', quoteLiteral(tenantId)).replaceAll(':other', quoteLiteral(otherId))),
  )

t.test(
  'whatever writers do at the same time, the target is at every point what the source was',
  async (t) => {
    const applier = await follow(t, 'fuzzed')
    const writing = new AbortController()
    let committed = 0
    const writers = Array.from({ length: 4 }, (_, index) =>
      withClient(source, 'test', async (client) => {
        // Settings that change how a key looks as text.
        await client.query(
          `set timezone = 'Asia/Kathmandu'; set datestyle = 'SQL, DMY'; set extra_float_digits = -5`,
        )
        if (index === 0) await client.query("set session_replication_role = 'replica'")
        while (!writing.signal.aborted) {
          await client.query('begin')
          try {
            for (let left = randomInt(1, 6); left > 0; left--) await client.query(anyWrite())
            await client.query(randomInt(8) === 0 ? 'rollback' : 'commit')
            committed++
          } catch {
            await client.query('rollback')
          }
        }
      }),
    )
    t.teardown(() => writing.abort())
    for (let round = 0; round < 12; round++) {
      await sleep(150)
      await applier.atOnePoint(patience, async (snapshot) => {
        const then = await withClient(source, 'test', async (client) => {
          await client.query(`begin isolation level repeatable read; set transaction snapshot '${snapshot}'`)
          return content(client)
        })
        t.same(await contentOf(target), then)
      })
      await applier.drain(10_000)
    }
    await until(() => committed > 100, 'enough was written')
    writing.abort()
    await Promise.all(writers)
    await applier.drain(10_000)
    const ended = await contentOf(source)
    t.comment(`${committed} transactions, ${ended.length} rows at the end`)
    t.ok(committed > 100 && ended.length > 10)
    t.same(await contentOf(target), ended)
    await applier.drain(10_000)
    t.equal((await write('select from freehold.change')).rowCount, 0, 'what is carried over is forgotten')
  },
)

/** Mostly of few rows, so that writers meet; many fail, which is as well. */
function anyWrite(): string {
  const [id, other, place] = [randomInt(40), randomInt(40), randomInt(60)]
  const at = `timestamptz '2026-05-30 00:00:00.123456+00' + ${randomInt(6)} * interval '13 hours'`
  const me = `'${tenantId}'`
  const writes = [
    `insert into seat values (${me}, ${id}, ${place}, 'g${id}', 1.0) on conflict do nothing`,
    `insert into seat values (${me}, ${id}, ${place}, 'h', 2.50) on conflict (tenant_id, id) do update set weight = seat.weight + 0.10`,
    `update seat set guest = repeat(md5(random()::text), ${randomInt(1, 200)}) where tenant_id = ${me} and id = ${id}`,
    `update seat set weight = 'NaN' where tenant_id = ${me} and place = ${place}`,
    `delete from seat where tenant_id = ${me} and id = ${id}`,
    // Two rows exchange their keys, or what is unique of them, by way of a third.
    `update seat set id = -1 where tenant_id = ${me} and id = ${id}; update seat set id = ${id} where tenant_id = ${me} and id = ${other};
       update seat set id = ${other} where tenant_id = ${me} and id = -1`,
    `update seat set place = -1 where tenant_id = ${me} and id = ${id}; update seat set place = ${place} where tenant_id = ${me} and id = ${id}`,
    `update seat set tenant_id = '${otherId}' where tenant_id = ${me} and id = ${id}`,
    `update seat set tenant_id = ${me} where tenant_id = '${otherId}' and id = ${id}`,
    `insert into reading values (${me}, ${at}, 0.1::float8 + 0.2, 'r') on conflict do nothing`,
    `update reading set at = ${at}, level = random() where tenant_id = ${me} and note = 'r' and random() < 0.3`,
    `delete from reading where tenant_id = ${me} and random() < 0.2`,
    `insert into meal values (${me}, ${id}, ${other}) on conflict do nothing`,
    `savepoint s; delete from meal where tenant_id = ${me}; rollback to s`,
  ]
  return writes[randomInt(writes.length)] ?? ''
}

t.test(
  'a large transaction is carried over in one step, and what is not the tenant’s not at all',
  async (t) => {
    const applier = await follow(t, 'large')
    await write(`insert into seat select :me, n, n, repeat('x', 20), 1 from generate_series(1000, 5000) n;
    insert into seat select :other, n, n, 'x', 1 from generate_series(1000, 2000) n`)
    await write('update seat set place = -place where tenant_id = :me')
    await write('update seat set place = 14000 + place, guest = id::text where tenant_id = :me')
    await applier.drain(30_000)
    t.same(await contentOf(target), await contentOf(source))
    const foreign = await withClient(target, 'test', (client) =>
      client.query('select from seat where tenant_id <> $1', [tenantId]),
    )
    t.equal(foreign.rowCount, 0)
    await write('delete from seat where tenant_id = :me and id >= 1000')
    await applier.drain(30_000)
    t.same(await contentOf(target), await contentOf(source))
  },
)

t.test(
  'what was carried over and not yet forgotten when its worker was cut off comes again, and does no harm',
  async (t) => {
    const applier = await follow(t, 'again')
    await write("insert into seat values (:me, 100, 100, 'first', 1), (:me, 101, 101, 'second', 1)")
    const blocker = await connectClient(source, 'test')
    t.teardown(() => blocker.end())
    // Notes can be read and cannot be deleted. A round may have deleted them before they are held.
    for (let guest = 0; (await holdNotes(blocker)) === 0; guest++) {
      await blocker.query('rollback')
      await write(`update seat set guest = 'second ${guest}' where id = 101`)
    }
    await until(
      async () => isDeepStrictEqual(await contentOf(target), await contentOf(source)),
      'carried over',
    )
    await blocker.query(
      "select pg_terminate_backend(pid, 60000) from pg_stat_activity where application_name like 'freehold-stream%'",
    )
    await blocker.query('rollback')
    await t.rejects(applier.drain(5_000), 'the applier is over')
    await applier.close()
    t.ok((await write('select from freehold.change')).rowCount, 'notes are left of what the target has')
    await write("update seat set guest = 'third' where id = 100; delete from seat where id = 101")
    const second = await start(t, 'again', 2)
    await second.drain(5_000)
    t.same(await contentOf(target), await contentOf(source))
  },
)

t.test('what the target has, the source would still have after a crash', async (t) => {
  // Of all that the mover does, only what must be safe is written to disk.
  const asynchronous = (setting: string) =>
    withClient(source, 'test', (client) => client.query(`alter role freehold_mover ${setting}`))
  await asynchronous('set synchronous_commit = off')
  t.teardown(() => asynchronous('reset synchronous_commit'))
  const applier = await follow(t, 'secured', 2)
  const committed = await withClient(source, 'test', async (client) => {
    await client.query('set synchronous_commit = off; begin')
    await client.query("insert into seat values ($1, 150, 150, 'unsafe', 1)", [tenantId])
    const { rows } = await client.query<{ lsn: string }>('select pg_current_wal_insert_lsn() as lsn')
    await client.query('commit')
    return rows[0]?.lsn
  })
  await applier.drain(5_000)
  t.same(await contentOf(target), await contentOf(source))
  const { rows } = await withClient(source, 'test', (client) =>
    client.query('select pg_current_wal_flush_lsn() >= $1::pg_lsn as safe', [committed]),
  )
  t.same(rows, [{ safe: true }])
})

t.test('an applier whose lease was taken writes nothing any more', async (t) => {
  const former = await follow(t, 'taken', 3)
  await former.drain(5_000)
  await withClient(target, 'test', (client) => client.query('update freehold.applied set fencing_token = 4'))
  const before = await contentOf(target)
  await write("insert into seat values (:me, 200, 200, 'late', 1)")
  await t.rejects(former.drain(5_000), { code: 'lease_lost' })
  t.same(await contentOf(target), before)
  const successor = await start(t, 'taken', 5)
  await successor.drain(5_000)
  t.same(await contentOf(target), await contentOf(source))
})

t.test('triggers that were disabled for a while are noticed', async (t) => {
  const applier = await follow(t, 'disabled', 6)
  await applier.atOnePoint(patience, async () => undefined)
  await write("insert into seat values (:me, 300, 300, 'seen', 1)")
  await applier.drain(5_000)
  t.equal(applier.changedRows()?.[0]?.keys.length, 1)
  await write(`alter table reading_new disable trigger all; insert into reading values (:me, '2026-09-09', 1, 'unseen');
    alter table reading_new enable trigger all`)
  await applier.drain(5_000)
  t.equal(applier.changedRows(), undefined, 'it does not claim to know what has changed')
  t.same(
    [
      ...(await withClient(source, 'test', (client) =>
        triggerStream(routeOf('disabled')).carriedTables(client),
      )),
    ],
    tables.map(({ table }) => quoteTable(table)).filter((name) => name !== '"public"."reading"'),
  )
  await t.rejects(
    applier.atOnePoint(patience, async () => undefined),
    { code: 'change_stream_failed' },
    'nor does it compare anything',
  )
  await write("delete from reading where tenant_id = :me and note = 'unseen'")
})

t.test('what changes between two points of one comparison is remembered', async (t) => {
  const applier = await follow(t, 'points', 6)
  await applier.atOnePoint(patience, async () => undefined)
  await write("insert into seat values (:me, 400, 400, 'between', 1)")
  await applier.atOnePoint({ ...patience, isNext: true }, async () => undefined)
  t.equal(applier.changedRows()?.[0]?.keys.length, 1)
  await applier.atOnePoint(patience, async () => undefined)
  t.same(applier.changedRows(), [], 'and not beyond a comparison that begins anew')
})

t.test('a truncated table ends the stream', async (t) => {
  const applier = await follow(t, 'truncated', 7)
  await write('truncate meal')
  await t.rejects(applier.drain(5_000), { code: 'change_stream_failed', message: /truncated/ })
})

t.test('no write fails because a table is not what it was; the stream ends', async (t) => {
  for (const [index, change] of [
    ['alter table meal rename column id to number', 'alter table meal rename column number to id'],
    ['alter table meal alter column id type bigint', 'alter table meal alter column id type int'],
  ].entries()) {
    const applier = await follow(t, `changed_${index}`, 8 + index)
    const session = await connectClient(source, 'test')
    t.teardown(() => session.end())
    const insert = () => session.query(`insert into meal values ('${tenantId}', $1, 300)`, [randomInt(1e6)])
    await insert()
    await applier.drain(5_000)
    await withClient(owner, 'test', (client) => client.query(change[0] ?? ''))
    await insert()
    if (index === 0) await t.rejects(applier.drain(5_000), { code: 'schema_mismatch' })
    await applier.close()
    await withClient(owner, 'test', (client) => client.query(change[1] ?? ''))
  }
})

t.test('nobody but the mover, as the tenant, sees what is noted, and nobody else writes it', async (t) => {
  const stream = triggerStream(routeOf('guarded'))
  await (await stream.create(patience)).release()
  t.teardown(() => withClient(owner, 'test', (client) => dropChangeTriggers(client, 'guarded')))
  await write("update seat set guest = 'noted' where tenant_id = :me")
  const as = (role: 'freehold_app' | 'freehold_mover', key: string | null, sql: string) =>
    withClient(on.as(role, 'source'), 'test', async (client) => {
      await client.query("select set_config('freehold.entry', $1, false)", [key ?? ''])
      return (await client.query(sql)).rowCount
    })
  for (const sql of [
    'select from freehold.change',
    'delete from freehold.change',
    "insert into freehold.change values ('guarded', 'x', 'seat', 'row', '{}')",
    'update freehold.change set key = null',
    'truncate freehold.change',
  ]) {
    await t.rejects(as('freehold_app', entryKey, sql), { code: '42501' }, sql)
  }
  await t.rejects(as('freehold_app', entryKey, 'create temp table mine (id int)'), { code: '42501' })
  t.equal(await as('freehold_mover', null, 'select from freehold.change'), 0)
  t.equal(await as('freehold_mover', null, 'delete from freehold.change'), 0)
  t.ok(await as('freehold_mover', entryKey, 'select from freehold.change'))
  await t.rejects(
    as(
      'freehold_mover',
      entryKey,
      "insert into freehold.change values ('guarded', 'x', 'seat', 'row', '{}')",
    ),
    { code: '42501' },
  )
})

t.test(
  'a table that is never free for a moment is not waited for without end, and nothing is left',
  async (t) => {
    const holder = await connectClient(source, 'test')
    t.teardown(() => holder.end())
    await holder.query(`begin; insert into seat values ('${otherId}', 9999, 9999, 'long', 1)`)
    const stream = triggerStream(routeOf('waiting'))
    await t.rejects(stream.create({ ...patience, timeoutMs: 300 }), { code: 'source_busy' })
    await holder.query('rollback')
    const left = await write("select from pg_trigger where tgname like 'waiting%'")
    t.equal(left.rowCount, 0)
  },
)

t.test('an autovacuum gives way to a stream that is made, and to one that is removed', async (t) => {
  t.teardown(async () => {
    await write('alter system reset autovacuum_naptime')
    await write('select pg_reload_conf()')
  })
  await write("alter system set autovacuum_naptime = '1s'")
  await write('select pg_reload_conf()')
  // It takes a minute at least, whatever the machine: each page that is looked at costs it a tenth of a second.
  await write(
    `alter table seat set (fillfactor = 10, autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
       autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
     insert into seat (tenant_id, id, place) select :other, n, n from generate_series(10001, 20000) n;
     delete from seat where tenant_id = :other and id > 10000`,
  )
  const vacuumed = async () => {
    for (;;) {
      const found = await write(
        "select from pg_stat_activity where backend_type = 'autovacuum worker' and query like '%public.seat%'",
      )
      if (found.rowCount === 1) return
      await sleep(50)
    }
  }
  const remove = { publication: dropPublication, change_triggers: dropChangeTriggers }
  for (const [name, stream] of [
    ['publication', logStream(routeOf('vacuumed'))],
    ['change_triggers', triggerStream(routeOf('vacuumed'))],
  ] as const) {
    await vacuumed()
    const { release } = await stream.create(patience)
    await release()
    await vacuumed()
    await withClient(owner, 'test', (client) => remove[name](client, 'vacuumed'))
    t.pass(name)
  }
  await write("select pg_drop_replication_slot('vacuumed')")
})
