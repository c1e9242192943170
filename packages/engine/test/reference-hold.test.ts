import { setTimeout as sleep } from 'node:timers/promises'
import { type MoveDetail, moveTargetSchema, type Tenant } from '@freehold/contract'
import { connectClient, type DatabaseAddress, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { type MovingGround, prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import { moveThat, openWindow, said } from '../../../test/kit/rollback-window.ts'
import { PATIENCE_MS, runMove, UNHURRIED } from '../../../test/kit/run-move.ts'
import { databaseOf } from '../../../test/kit/tenant-places.ts'
import type { MoveSettings } from '../src/index.ts'

/** Switches while reference tables of the source are written to. */
const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())
const pool = asSuperuser(ground.us.cluster, 'pool')

const run = (on: DatabaseAddress, sql: string, values: unknown[] = []) =>
  withClient(on, 'test', async (client) => (await client.query(sql, values)).rows)

const currencies = (on: DatabaseAddress) =>
  run(on, 'select code, name, minor_digits from currencies order by code')

/** One who writes in a session of its own, and is not waited for by the test. */
async function startWriter(sql: string) {
  const client = await connectClient(pool, 'test-writer')
  const [{ pid }] = (await client.query('select pg_backend_pid() as pid')).rows
  let state: 'writing' | 'done' | unknown = 'writing'
  const ended = client
    .query(sql)
    .then(
      () => {
        state = 'done'
      },
      (error: unknown) => {
        state = error
      },
    )
    .finally(() => client.end())
  return {
    state: () => state,
    ended,
    /** Until it has done what it can do. */
    async waitsOrEnds() {
      const waits = `select from pg_stat_activity where pid = ${pid} and wait_event_type = 'Lock'`
      while (state === 'writing' && (await run(pool, waits)).length === 0) await sleep(20)
    },
  }
}

/** SQL of a writer of the tenant that adds a reference row and uses it: what keeps the switch from it is the tenant's lock. */
const addAndUse = (tenant: Tenant, code: string) => `
  begin;
  select pg_advisory_xact_lock_shared(freehold.lock_key('${tenant.id}'));
  insert into currencies values ('${code}', '${code}', 2);
  insert into orders (tenant_id, customer_id, currency, total, reference)
    select tenant_id, id, '${code}', 1, '${code}' from customers where tenant_id = '${tenant.id}' limit 1;
  commit`

/** As many as there is room for, and none of those that the tests add. */
const MANY = `
  insert into currencies select first || second || third, 'One of many', 2
  from unnest(string_to_array('A B C D E F G H I J K L M N O P Q R S T U V W Y Z', ' ')) first,
    generate_series(1, 26) n, generate_series(1, 26) m, chr(64 + n) second, chr(64 + m) third
  on conflict do nothing`

const calledOff = ({ timeline }: { readonly timeline: readonly string[] }, because: string) =>
  timeline.filter((message) => message.startsWith('The switch was called off') && message.includes(because))

t.test('who changes them waits from before the fence to the seal', async (t) => {
  const tenant = await ground.tenant('held-still', 10)
  let writer: Awaited<ReturnType<typeof startWriter>> | undefined
  const ended = await runMove(ground, await ground.startMove(tenant), {
    'cutover.rehearsed': async () => {
      writer = await startWriter("insert into currencies values ('XLT', 'Late', 2)")
      await writer.waitsOrEnds()
    },
    'cutover.drained': async () => {
      t.equal(writer?.state(), 'writing', 'it waits')
    },
    'cutover.sealed': async () => {
      await writer?.ended
      t.equal(writer?.state(), 'done', 'and goes on, though the switch is not complete')
    },
  })
  t.equal(ended.phase, 'completed', { timeline: ended.timeline })
  t.equal(ended.reached.length, 3)
  t.same(calledOff(ended, ''), [])
  const atTarget = await currencies(databaseOf(ground, ended.to))
  t.same(
    atTarget,
    (await currencies(pool)).filter(({ code }) => code !== 'XLT'),
  )
})

t.test('a row that is added and used right before the fence is there, however many there are', async (t) => {
  await run(pool, MANY)
  const tenant = await ground.tenant('used-at-once', 10)
  let writer: Awaited<ReturnType<typeof startWriter>> | undefined
  const ended = await runMove(ground, await ground.startMove(tenant), {
    'cutover.rehearsed': async () => {
      writer = await startWriter(addAndUse(tenant, 'XUS'))
      await writer.waitsOrEnds()
    },
  })
  await writer?.ended
  t.equal(
    writer?.state(),
    'done',
    'it waited for the switch, and the switch for it; it is the switch that gave way',
  )
  t.equal(ended.phase, 'completed', { timeline: ended.timeline })
  t.equal(calledOff(ended, 'A transaction of the tenant was open').length, 1, { timeline: ended.timeline })
  const on = databaseOf(ground, ended.to)
  t.same(
    await run(
      on,
      "select currency, name from orders left join currencies on code = currency where reference = 'XUS'",
    ),
    [{ currency: 'XUS', name: 'XUS' }],
  )
  t.same(await currencies(on), await currencies(pool))
})

t.test('no switch without the lock: its session is cut under the fence', async (t) => {
  const tenant = await ground.tenant('let-go', 10)
  const ended = await runMove(ground, await ground.startMove(tenant), {
    'cutover.fenced': async () => {
      const cut = await run(
        pool,
        `select pg_terminate_backend(pid, 60000) as ended from pg_stat_activity
         where application_name = 'freehold-switch-references'`,
      )
      t.same(cut, [{ ended: true }])
      await run(pool, addAndUse(tenant, 'XCT'))
    },
  })
  t.equal(ended.phase, 'completed', { timeline: ended.timeline })
  t.equal(calledOff(ended, 'is lost').length, 1, { timeline: ended.timeline })
  const on = databaseOf(ground, ended.to)
  t.same(
    await run(on, "select name from orders left join currencies on code = currency where reference = 'XCT'"),
    [{ name: 'XCT' }],
  )
})

t.test('one who has been changing them for long is waited for', async (t) => {
  const tenant = await ground.tenant('importing', 10)
  const importer = await connectClient(pool, 'test-writer')
  t.teardown(() => importer.end())
  let ready = 0
  const ended = await runMove(ground, await ground.startMove(tenant), {
    'cutover.entered': async () => {
      await importer.query("begin; insert into currencies values ('XIM', 'Imported', 2)")
    },
    'ready.entered': async () => {
      if (++ready === 3) await importer.query('commit')
      return 'again'
    },
  })
  t.equal(ended.phase, 'completed', { timeline: ended.timeline })
  t.equal(calledOff(ended, 'no moment in which nobody wrote').length, 1, { timeline: ended.timeline })
  t.equal(ended.progress.cutoverAttempts, 1, 'no writer of the tenant was held for that')
  t.same(await currencies(databaseOf(ground, ended.to)), await currencies(pool))
})

t.test('what is committed while the lock is sought is seen', async (t) => {
  const tenant = await ground.tenant('just-in-time', 10)
  const writer = await connectClient(pool, 'test-writer')
  t.teardown(() => writer.end())
  const sought = `select from pg_stat_activity where application_name = 'freehold-switch-references'
    and query like '%lock table%'`
  let committed: Promise<unknown> | undefined
  const commit = async () => {
    while ((await run(pool, sought)).length === 0) await sleep(10)
    await writer.query('commit')
  }
  const events = {
    'cutover.entered': async () => {
      await writer.query("begin; insert into currencies values ('XJT', 'Just in time', 2)")
      committed = commit()
    },
  }
  const ended = await runMove(ground, await ground.startMove(tenant), events, { lockTimeoutMs: 120_000 })
  await committed
  t.equal(ended.phase, 'completed', { timeline: ended.timeline })
  t.equal(calledOff(ended, 'Reference tables of the source have changed').length, 1, {
    timeline: ended.timeline,
  })
  t.same(await currencies(databaseOf(ground, ended.to)), await currencies(pool))
})

t.test('a table that takes too long to be compared is named, and nobody waits for it', async (t) => {
  const tenant = await ground.tenant('too-many', 10)
  const writer = await connectClient(pool, 'test-writer')
  t.teardown(() => writer.end())
  // Had the lock been sought, it is this that would be named.
  const begin = () => writer.query("begin; insert into currencies values ('XNN', 'Not in the end', 2)")
  const settings = { referenceHoldMs: 1, maxCutoverAttempts: 2, cutoverBackOff: { firstMs: 1, maxMs: 1 } }
  const ended = await runMove(ground, await ground.startMove(tenant), { 'ready.entered': begin }, settings)
  t.match(ended, {
    phase: 'aborted',
    progress: { cutoverAttempts: 0 },
    error: {
      code: 'reference_table_too_large',
      detail:
        /Given up after 2 attempts to switch.* within 1 ms.* the largest is currencies, with \d{5} rows/,
    },
  })
  t.equal((await ground.catalog.tenants.get(tenant.id)).placement.epoch, 1, 'the tenant is where it was')
})

t.test('they are held at the home that a rollback leaves; too large for it, it is called off', async (t) => {
  const { id } = await ground.tenant('back-too-many', 10)
  const inPool = await ground.catalog.tenants.get(id)
  const own = moveTargetSchema.parse({ isolation: 'schema', region: 'us' })
  t.equal((await runMove(ground, await ground.startMove(inPool, own))).phase, 'completed')
  const tenant = await ground.catalog.tenants.get(id)
  const unhurried = { soakIntervalMs: 100, fenceExpiryMs: 60_000, maxLagMs: 60_000 }
  const { move, engine } = await openWindow(ground, tenant, 'eu', 'auto', unhurried)
  await engine.stop()
  const silo = databaseOf(ground, move.to)
  await run(silo, "insert into currencies values ('XBK', 'Back', 2)")

  const rollBack = async (settings: Partial<MoveSettings>, until: (move: MoveDetail) => boolean) => {
    const engine = ground.engine({ leaseMs: 30_000, settings: { ...unhurried, ...settings } })
    await ground.catalog.operations.requestRollback(move.id)
    engine.start()
    const result = await moveThat(ground, move.id, until)
    await engine.stop()
    return result
  }
  const isSaid = ({ message }: { readonly message: string }) => message.includes('within 1 ms')
  const calledOff = await rollBack(
    { referenceHoldMs: 1, maxCutoverAttempts: 2, cutoverBackOff: { firstMs: 1, maxMs: 1 } },
    ({ rollback, events }) => rollback?.state !== 'requested' && events.some(isSaid),
  )
  t.match(calledOff, { phase: 'soak', rollback: { state: 'open', problem: null } }, said(calledOff))
  const returned = await rollBack({}, ({ finishedAt }) => finishedAt !== null)
  t.equal(returned.phase, 'rolled_back', said(returned))
  const { placement } = tenant
  t.same(
    await run(
      databaseOf(ground, placement),
      `select name from ${placement.schema}.currencies where code = 'XBK'`,
    ),
    [{ name: 'Back' }],
  )
})

const asOwner = (sql: string) => run(ground.us.as('freehold_owner', 'pool'), sql)
const UNITS = "create table units (code text primary key); select freehold.declare_reference_table('units')"

for (const [name, change, undo] of [
  [
    'a reference table that comes',
    UNITS,
    "delete from freehold.managed_table where relation = 'units'::regclass; drop table units",
  ],
  [
    'a column of one that comes',
    'alter table currencies add column sign text',
    'alter table currencies drop column sign',
  ],
  [
    'a type that changes',
    'alter table currencies alter minor_digits type bigint',
    'alter table currencies alter minor_digits type smallint',
  ],
  [
    'one that is renamed',
    'alter table currencies rename to moneys',
    'alter table moneys rename to currencies',
  ],
] as const) {
  t.test(`${name} when the tenant has been verified pauses the move`, async (t) => {
    const tenant = await ground.tenant(name.replaceAll(' ', '-'), 5)
    const move = await ground.startMove(tenant)
    let changed = false
    const engine = ground.engine({
      leaseMs: 30_000,
      settings: UNHURRIED,
      barrier: async (barrier) => {
        if (barrier !== 'cutover.entered' || changed) return
        changed = true
        await asOwner(change)
      },
    })
    engine.start()
    t.teardown(() => engine.stop())
    const isPaused = ({ events }: MoveDetail) =>
      events.some(({ message }) => message.startsWith('Paused, because the tables were changed'))
    const paused = await moveThat(ground, move.id, isPaused)
    await asOwner(undo)
    t.equal((await ground.catalog.tenants.get(tenant.id)).placement.epoch, 1, 'the tenant is where it was')
    t.not(paused.phase, 'completed')
    await ground.catalog.operations.resume(move.id, 'test')
    const ended = await ground.ended(move.id, PATIENCE_MS)
    t.equal(ended.phase, 'completed', said(ended))
    t.notMatch(said(ended), '23505', 'nothing of the former copy is in the way of the new one')
    t.same(await currencies(databaseOf(ground, ended.to)), await currencies(pool))
  })
}
