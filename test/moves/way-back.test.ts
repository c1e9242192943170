import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Isolation,
  isolationSchema,
  type Move,
  type MoveDetail,
  moveTargetSchema,
  type Tenant,
} from '@freehold/contract'
import { planMove } from '@freehold/engine'
import { inTransaction, quoteIdentifier, quoteLiteral, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { haltAt } from '../kit/halt-at.ts'
import { moveTraces } from '../kit/move-traces.ts'
import { type MovingGround, prepareMovingGround, TEST_ENTRY_SECRET } from '../kit/moving-ground.ts'
import { expireLease } from '../kit/relay.ts'
import {
  inWindow,
  moveThat,
  openWindow,
  PATIENCE_MS,
  said,
  soaked,
  soaking,
  WINDOW_SECONDS,
} from '../kit/rollback-window.ts'
import { contentAt, databaseOf, remainsOf } from '../kit/tenant-places.ts'
import { startTenantWriter } from '../kit/tenant-writer.ts'

// Back from a server without logical decoding: by its triggers, whatever the way forth goes by.

/** More keys than are read at once. */
const BULK_ROWS = 2_500
const ground: MovingGround = await prepareMovingGround({
  euSettings: { wal_level: 'replica', max_replication_slots: '0', max_wal_senders: '0' },
})
t.teardown(() => ground.remove())
await withClient(asSuperuser(ground.eu.cluster, 'postgres'), 'test', (client) =>
  client.query('alter role freehold_mover noreplication'),
)
const pool = asSuperuser(ground.us.cluster, 'pool')

t.test('a target without a log has triggers note what is to go back, and the plan says so', async (t) => {
  const tenant = await ground.tenant('planned', 10)
  const plan = async (changeStream: 'auto' | 'logical', rollbackWindowSeconds: number) => {
    const { plan } = await planMove(ground.catalog, {
      tenantIdOrSlug: tenant.id,
      target: moveTargetSchema.parse({ isolation: 'silo', region: 'eu' }),
      changeStream,
      rollbackWindowSeconds,
      entrySecret: TEST_ENTRY_SECRET,
    })
    return plan
  }
  const told = (await plan('auto', WINDOW_SECONDS)).findings.map(
    ({ code, severity }) => `${severity} ${code}`,
  )
  t.ok(told.includes('advisory followed_back_by_triggers'), told.join())
  t.notOk(told.some((finding) => finding.startsWith('blocking')))
  const without = await plan('auto', 0)
  t.notOk(without.findings.some(({ code }) => code === 'followed_back_by_triggers'))
  t.equal(without.estimates?.extraDisk.windowBytes, 0)
  t.ok(((await plan('auto', WINDOW_SECONDS)).estimates?.extraDisk.windowBytes ?? 0) > 0)
  await t.rejects(ground.startMove(tenant, 'eu', 'logical', {}, WINDOW_SECONDS), {
    code: 'rollback_window_unavailable',
  })
})

for (const isolation of isolationSchema.options) {
  t.test(`a ${isolation} on a server without a log is rolled back with all that was written`, async (t) => {
    const tenant = await ground.tenant(`back-from-${isolation}`, 50)
    const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant, 2)
    const target = moveTargetSchema.parse({ isolation, region: 'eu' })
    const move = await ground.startMove(tenant, target, 'auto', {}, WINDOW_SECONDS)
    const seen: string[][] = []
    const engine = ground.engine({
      ...soaking,
      barrier: async (name) => {
        // Carried forward while the triggers are there already.
        if (name === 'ready.stream_back_created') await stirAtHome(tenant)
        if (name === 'cutover.retired' && seen.length === 0)
          seen.push(await moveTraces(databaseOf(ground, move.to)))
      },
    })
    engine.start()
    const { to } = await inWindow(ground, move.id)
    t.ok(
      seen[0]?.some((trace) => trace.startsWith('trigger freehold_b_')),
      'they are there before writers are',
    )
    t.same(
      seen[0]?.filter((trace) => trace.startsWith('change ')),
      [],
      'what has come from the old home is not noted to be carried there',
    )

    await stirThere(to, tenant)
    await withClient(pool, 'test', (client) => client.query('create table stray_backup (id int)'))
    t.teardown(() => withClient(pool, 'test', (client) => client.query('drop table if exists stray_backup')))
    await soaked(ground, move.id)
    const expected = withoutWriter(await contentAt(ground, tenant.id, to))
    t.ok((expected.customers?.length ?? 0) > BULK_ROWS, 'there is what was written')
    t.same(withoutWriter(await contentAt(ground, tenant.id, tenant.placement)), expected, 'in step')

    await ground.catalog.operations.requestRollback(move.id)
    const ended = await ground.ended(move.id, PATIENCE_MS)
    const report = await writer.stop()
    await engine.stop()
    t.equal(ended.phase, 'rolled_back', said(ended))
    t.ok(ended.events.some(({ message }) => /advice: .*followed_back_by_triggers/.test(message)))
    t.same(report.failures, [], 'no write failed')
    t.ok(report.acknowledged > 0)
    t.same(await report.differences(pool), [], 'nothing lost or doubled')
    t.same(withoutWriter(await contentAt(ground, tenant.id, tenant.placement)), expected)
    t.same(await remainsOf(ground, tenant.id, ended.to), [], 'nothing is left behind')
  })
}

t.test('how much there was to carry back is told, however soon it is carried', async (t) => {
  const { tenant, move, end } = await soak('told', 'silo')
  const halt = haltAt('soak.applied')
  await inHome(
    move,
    `insert into customers (tenant_id, email, name)
    select ${quoteLiteral(tenant.id)}, 'n' || n || '@x.test', 'told' from generate_series(1, 500) n`,
  )
  const engine = ground.engine({ ...soaking, barrier: halt.barrier })
  const run = engine.nudge(move.id)
  await halt.reached
  halt.goOn()
  await run
  await engine.stop()
  const { progress } = await ground.catalog.moves.detail(move.id)
  t.ok((progress.lagBytes ?? 0) > 500 * 50, `${progress.lagBytes} bytes`)
  t.equal((await contentAt(ground, tenant.id, tenant.placement)).customers?.length, 510)
  await end()
})

t.test('a window that is over leaves no trigger and no note behind', async (t) => {
  const { tenant, move, end } = await soak('elapsed', 'pool')
  await inHome(move, `update customers set name = 'noted' where tenant_id = ${quoteLiteral(tenant.id)}`)
  const traces = await moveTraces(databaseOf(ground, move.to))
  t.ok(
    traces.some((trace) => trace.startsWith('change ')),
    'there was something to be removed',
  )
  const ended = await end()
  t.equal(ended.phase, 'completed', said(ended))
  t.same(await remainsOf(ground, tenant.id, ended.from), [])
  t.same(await moveTraces(databaseOf(ground, ended.to)), [])
  t.equal((await contentAt(ground, tenant.id, ended.to)).customers?.length, 10)
})

for (const { what, happens, cause } of [
  {
    what: 'a table is emptied',
    happens: 'truncate order_events',
    cause: 'change_stream_failed',
  },
  {
    what: 'triggers are dropped',
    happens: `do $$ declare name text; begin
      for name in select tgname from pg_trigger where tgrelid = 'orders'::regclass and tgname ~ '^freehold_b_' loop
        execute format('drop trigger %I on orders', name);
      end loop; end $$`,
    cause: 'schema_mismatch',
  },
]) {
  t.test(`the way back is lost when ${what}, and its triggers go at once`, async (t) => {
    const { tenant, move, end } = await soak(`lost-${cause.replaceAll('_', '-')}`, 'silo')
    await inHome(move, happens)
    const halt = haltAt('soak.declared_unsafe')
    const first = ground.engine({ ...soaking, leaseMs: 600_000, barrier: halt.barrier })
    const run = first.nudge(move.id)
    await halt.reached
    // The worker that declared it dies before it removes anything.
    await expireLease(ground, move.id)
    const second = ground.engine(soaking)
    second.start()
    const gone = async () =>
      (await moveTraces(databaseOf(ground, move.to))).every((trace) => !/^(trigger|change) /.test(trace))
    for (const until = performance.now() + PATIENCE_MS; !(await gone()); await sleep(50)) {
      if (performance.now() > until) break
    }
    t.ok(await gone(), 'nobody notes for a way back that there is not')
    const unsafe = await ground.catalog.moves.detail(move.id)
    t.match(unsafe, { phase: 'soak', rollback: { state: 'unsafe', problem: { details: { cause } } } })
    await t.rejects(ground.catalog.operations.requestRollback(move.id), { code: 'rollback_unsafe' })
    halt.goOn()
    await run
    await first.stop()
    await second.stop()
    const ended = await end()
    t.equal(ended.phase, 'completed', said(ended))
    t.same(await remainsOf(ground, tenant.id, ended.from), [])
    t.same(await moveTraces(databaseOf(ground, ended.to)), [])
  })
}

t.test('what was changed while the triggers were disabled is missed before the way back', async (t) => {
  const { move, end } = await soak('gap', 'silo')
  await inHome(
    move,
    `alter table customers disable trigger user; update customers set name = 'unseen';
     alter table customers enable trigger user;
     do $$ declare name text; begin
       for name in select tgname from pg_trigger where tgrelid = 'customers'::regclass and tgname ~ '^freehold_b_' loop
         execute format('alter table customers enable always trigger %I', name);
       end loop; end $$`,
  )
  const engine = ground.engine(soaking)
  engine.start()
  await soaked(ground, move.id)
  await ground.catalog.operations.requestRollback(move.id)
  const unsafe = await moveThat(
    ground,
    move.id,
    ({ phase, rollback }) => phase === 'soak' && rollback?.state === 'unsafe',
  )
  await engine.stop()
  t.match(unsafe, {
    phase: 'soak',
    rollback: { problem: { details: { cause: 'verification_failed', table: 'customers' } } },
  })
  t.equal((await end()).phase, 'completed')
})

/** A tenant in its rollback window, that nobody works on. */
async function soak(slug: string, isolation: Isolation) {
  const tenant = await ground.tenant(slug, 10)
  const target = moveTargetSchema.parse({ isolation, region: 'eu' })
  const { move, engine } = await openWindow(ground, tenant, target, 'auto')
  await engine.stop()
  const end = async (): Promise<MoveDetail> => {
    await ground.catalog.operations.requestFinalize(move.id)
    const last = ground.engine(soaking)
    last.start()
    const ended = await ground.ended(move.id, PATIENCE_MS)
    await last.stop()
    return ended
  }
  return { tenant, move, end }
}

const inHome = ({ to }: Pick<Move, 'to'>, text: string) =>
  withClient(databaseOf(ground, to), 'test', async (client) => {
    await client.query(`set search_path = ${quoteIdentifier(to.schema)}`)
    await client.query(text)
  })

/** Inserts, updates and deletes at the old home. */
async function stirAtHome({ id }: Tenant): Promise<void> {
  await withClient(pool, 'test', async (client) => {
    await client.query(
      `insert into customers (tenant_id, email, name) select $1, 'early' || n || '@x.test', 'early' from generate_series(1, 20) n`,
      [id],
    )
    await client.query('update products set stock = stock + 1 where tenant_id = $1', [id])
    await client.query("delete from customers where tenant_id = $1 and email like 'early1%'", [id])
  })
}

/** Everything that can happen to rows at the new home: in one transaction each. */
async function stirThere(to: Move['to'], { id }: Tenant): Promise<void> {
  const other = randomUUID()
  const big = (seed: string) =>
    `(select string_agg(md5(n::text || ${quoteLiteral(seed)}), '') from generate_series(1, 400) n)`
  await withClient(databaseOf(ground, to), 'test', async (client) => {
    await client.query(`set search_path = ${quoteIdentifier(to.schema)}`)
    const me = quoteLiteral(id)
    const stranger = quoteLiteral(other)
    for (const text of [
      // Out of line, and left there unchanged by what comes after.
      `insert into products (tenant_id, sku, name, price, description) select ${me}, 'big-' || n, 'Big', 1, ${big('a')} from generate_series(1, 3) n`,
      `update products set stock = 7 where tenant_id = ${me}`,
      `update products set description = ${big('b')} where tenant_id = ${me} and sku = 'big-1'`,
      `delete from products where tenant_id = ${me} and sku = 'big-2'`,
      // Keys change; what is unique changes hands; rows change their partition.
      `update order_lines set line_number = line_number + 1 where tenant_id = ${me}`,
      `update products set sku = 'swap' where tenant_id = ${me} and sku = 'sku-1';
       update products set sku = 'sku-1' where tenant_id = ${me} and sku = 'sku-2';
       update products set sku = 'sku-2' where tenant_id = ${me} and sku = 'swap'`,
      `update order_events set occurred_at = occurred_at - interval '31 days' where tenant_id = ${me}`,
      // Rows come and go by their tenant column.
      `insert into products (tenant_id, sku, name, price, description) select ${stranger}, 'guest-' || n, 'Guest', 1, ${big('c')} from generate_series(1, 3) n`,
      `update products set tenant_id = ${me} where tenant_id = ${stranger} and sku <> 'guest-3'`,
      `update products set tenant_id = ${stranger} where tenant_id = ${me} and sku = 'guest-2'`,
      `delete from products where tenant_id = ${stranger}`,
      // Cascades, and what is gone again.
      `delete from orders where tenant_id = ${me} and id in (select id from orders where tenant_id = ${me} order by id limit 5)`,
      `insert into customers (tenant_id, email, name) values (${me}, 'brief@x.test', 'brief')`,
      `delete from customers where tenant_id = ${me} and email = 'brief@x.test'`,
      `insert into customers (tenant_id, email, name) select ${me}, 'bulk' || n || '@x.test', 'bulk' from generate_series(1, ${BULK_ROWS}) n;
       update customers set name = 'bulk again' where tenant_id = ${me} and name = 'bulk'`,
    ]) {
      await inTransaction(client, () => client.query(text))
    }
  })
}

function withoutWriter(content: Record<string, string[]>): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(content).map(([table, rows]) => [
      table,
      rows.filter((row) => !row.includes('@writer.test"')),
    ]),
  )
}
