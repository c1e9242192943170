import { setTimeout as sleep } from 'node:timers/promises'
import { connectClient, hasSqlState, SQLSTATE, withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { asSuperuser, createDataDatabase } from '../../../test/kit/databases.ts'
import { areHeld, holdTables, letGo } from '../src/database/table-hold.ts'

/** Tables that are held while others read them, write to them, or would. */
const on = await startPreparedCluster('us')
t.teardown(() => on.cluster.remove())
t.setTimeout(300_000)
await createDataDatabase(on.cluster, on.passwords, 'held', { product: false })
const asOwner = on.as('freehold_owner', 'held')
const superuser = asSuperuser(on.cluster, 'held')

const PATIENT = { patienceMs: 120_000, idleMs: 120_000, signal: new AbortController().signal }
const SHORT = { ...PATIENT, patienceMs: 300 }

const table = (name: string) => ({ table: { schema: 'public', name } })
const ALL = ['continents', 'rates', 'units'].map(table)

const run = (sql: string) => withClient(superuser, 'test', async (client) => (await client.query(sql)).rows)
const connect = async (t: Test, address = asOwner) => {
  const client = await connectClient(address, 'test')
  t.teardown(() => client.end())
  return client
}

await withClient(asOwner, 'test', (owner) =>
  owner.query(`
    create table continents (code text primary key, name text);
    create table rates (day int primary key, rate int) partition by range (day);
    create table rates_now partition of rates for values from (0) to (100);
    create table rates_then (day int primary key, rate int);
    create table units (code text primary key);
    create table old_units () inherits (units);
    create table uses (of text references continents);
    insert into continents values ('EU', 'Europe')`),
)

t.test('who reads passes, and who writes waits', async (t) => {
  const owner = await connect(t)
  t.equal(await holdTables(owner, ALL, PATIENT), true)
  await owner.query('select pg_sleep(1), count(*) from continents')
  await run("select from continents, rates, units; insert into uses values ('EU')")
  const writes = [
    "insert into continents values ('AS')",
    "update continents set name = ''",
    'delete from continents',
    'truncate rates',
    'insert into rates_now values (1, 1)',
    'alter table rates attach partition rates_then for values from (100) to (200)',
    "insert into old_units values ('ell')",
    'create table new_units () inherits (units)',
    "select from continents where code = 'EU' for update; update continents set code = 'EU'",
  ]
  for (const sql of writes) {
    await t.rejects(run(`set lock_timeout = 20; ${sql}`), { code: '55P03' }, sql)
  }
  t.equal(await areHeld(owner, 60_000), true)
  await letGo(owner)
  t.equal(await areHeld(owner, 60_000), false)
  await run(`begin; ${writes.slice(0, 2).join('; ')}; rollback`)
})

t.test('several may hold them', async (t) => {
  const [one, other] = [await connect(t), await connect(t)]
  t.equal(await holdTables(one, ALL, SHORT), true)
  t.equal(await holdTables(other, ALL, SHORT), true)
})

t.test('one that does not end is not waited for, and nobody waits behind it for long', async (t) => {
  const [owner, long] = [await connect(t), await connect(t, superuser)]
  await long.query("begin; insert into units values ('mile')")
  const held = holdTables(owner, ALL, { ...PATIENT, patienceMs: 1_500 })
  for (let n = 0; n < 10; n++) {
    await run(`insert into units values ('unit ${n}')`)
    await sleep(50)
  }
  t.equal(await held, false)
  await long.query('commit')
  t.equal((await run('select from units')).length, 11)
  t.equal(await holdTables(owner, ALL, PATIENT), true, 'and the session is as it was')
})

t.test('a failed transaction holds nothing, and neither does a session that is ended', async (t) => {
  const owner = await connect(t)
  t.equal(await holdTables(owner, ALL, PATIENT), true)
  await t.rejects(owner.query('select 1 / 0'))
  await run("insert into units values ('inch')")
  t.equal(await areHeld(owner, 60_000), false)
  await letGo(owner)

  t.equal(await holdTables(owner, ALL, { ...PATIENT, idleMs: 300 }), true)
  await run("insert into units values ('foot')")
  t.equal(await areHeld(owner, 60_000), false, 'the server ends one that does nothing')
})

t.test('an answer that does not come is none', async (t) => {
  const owner = await connect(t)
  t.equal(await holdTables(owner, ALL, PATIENT), true)
  const [backend] = (await owner.query('select pg_backend_pid() as pid')).rows
  process.kill(backend.pid, 'SIGSTOP')
  t.equal(await areHeld(owner, 300), false)
  process.kill(backend.pid, 'SIGCONT')
})

t.test('what was committed before they were held is seen', async (t) => {
  await run("alter role freehold_owner set default_transaction_isolation = 'repeatable read'")
  t.teardown(() => run('alter role freehold_owner reset default_transaction_isolation'))
  const [owner, writer] = [await connect(t), await connect(t, superuser)]
  for (let n = 0; n < 20; n++) {
    await writer.query(`begin; insert into rates values (${n}, ${n})`)
    const held = holdTables(owner, ALL, PATIENT)
    await sleep(20 + n)
    await writer.query('commit')
    t.equal(await held, true)
    t.equal((await owner.query('select from rates')).rowCount, n + 1)
    await letGo(owner)
  }
})

const ROUNDS = 40

t.test('no writer is ended for a deadlock', async (t) => {
  await run("alter system set deadlock_timeout = '20ms'")
  await run('select pg_reload_conf()')
  t.teardown(async () => {
    await run('alter system reset deadlock_timeout')
    await run('select pg_reload_conf()')
  })
  const [owner, writer] = [await connect(t), await connect(t, superuser)]
  let ended = 0
  for (let n = 0; n < ROUNDS; n++) {
    await writer.query(`begin; insert into units values ('crossed ${n}')`)
    const held = holdTables(owner, ALL, PATIENT)
    // Also after whoever waits for the lock has looked for a deadlock, and found none.
    await sleep(n % 2 === 0 ? n / 2 : 20 + (n % 8))
    await writer.query(`insert into continents values ('C${n}'); commit`).catch(async (error: unknown) => {
      if (!hasSqlState(error, SQLSTATE.deadlockDetected)) throw error
      ended++
      await writer.query('rollback')
    })
    t.equal(await held, true)
    await letGo(owner)
  }
  // A machine that stands still for 10 ms has its server look for a deadlock too soon.
  t.ok(ended < ROUNDS / 5, `${ended} of ${ROUNDS} writers were ended`)
})

t.test('an autovacuum gives way', async (t) => {
  t.teardown(async () => {
    await run('alter system reset autovacuum_naptime')
    await run('select pg_reload_conf()')
  })
  await run("alter system set autovacuum_naptime = '1s'")
  await run('select pg_reload_conf()')
  // It takes a minute at least, whatever the machine: each page that is looked at costs it a tenth of a second.
  await run(
    `alter table units set (fillfactor = 10, autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
       autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)`,
  )
  await run("insert into units select 'fathom ' || n from generate_series(1, 20000) n")
  await run("delete from units where code like 'fathom %'")
  const vacuuming = `select from pg_stat_activity where backend_type = 'autovacuum worker' and query like '%public.units%'`
  while ((await run(vacuuming)).length === 0) await sleep(50)
  t.equal(await holdTables(await connect(t), ALL, { ...PATIENT, patienceMs: 10_000 }), true)
})
