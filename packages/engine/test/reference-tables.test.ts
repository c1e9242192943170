import { clusterIdSchema, moveTargetSchema, type Tenant } from '@freehold/contract'
import { type DatabaseAddress, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser, createDataDatabase } from '../../../test/kit/databases.ts'
import { type MovingGround, prepareMovingGround, TEST_ENTRY_SECRET } from '../../../test/kit/moving-ground.ts'
import { runMove } from '../../../test/kit/run-move.ts'
import { databaseOf } from '../../../test/kit/tenant-places.ts'
import { type MoveSettings, planMove, syncReferences } from '../src/index.ts'

const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())
const pool = asSuperuser(ground.us.cluster, 'pool')

const run = (on: DatabaseAddress, sql: string, values: unknown[] = []) =>
  withClient(on, 'test', async (client) => (await client.query(sql, values)).rows)

const currencies = (on: DatabaseAddress, schema = 'public') =>
  run(on, `select code, name, minor_digits from ${schema}.currencies order by code`)

const order = (on: DatabaseAddress, tenant: Tenant, currency: string) =>
  run(
    on,
    `insert into orders (tenant_id, customer_id, currency, total, reference)
     select tenant_id, id, $2, 1, $2 from customers where tenant_id = $1 limit 1`,
    [tenant.id, currency],
  )

const changeReferences = (added: string, removed: string) => async () => {
  await run(pool, 'insert into currencies values ($1, $1, 2)', [added])
  await run(pool, "update currencies set name = name || '.' where code in ('EUR', 'USD')")
  await run(pool, 'delete from currencies where code = $1', [removed])
}

await run(pool, "insert into currencies values ('SEK', 'Swedish krona', 2)")
await changeReferences('XAA', 'JPY')()

t.test('a schema of its own gets the reference tables of the source', async (t) => {
  const tenant = await ground.tenant('given-schema', 10)
  await order(pool, tenant, 'SEK')
  const ended = await runMove(
    ground,
    await ground.startMove(tenant, moveTargetSchema.parse({ isolation: 'schema', region: 'eu' })),
  )
  t.equal(ended.phase, 'completed', { timeline: ended.timeline })
  t.same(await currencies(databaseOf(ground, ended.to), ended.to.schema), await currencies(pool))
  t.match(ended.progress.verification, { references: { tables: 1, rows: 6 } })
})

for (const [stream, x] of [
  ['logical', 'L'],
  ['triggers', 'T'],
] as const) {
  t.test(`a silo gets them, and what changes in them during the move (${stream})`, async (t) => {
    const tenant = await ground.tenant(`given-silo-${stream}`, 10)
    await order(pool, tenant, 'SEK')
    const ended = await runMove(ground, await ground.startMove(tenant, 'eu', stream), {
      'backfill.copied': async () => {
        await changeReferences(`X${x}B`, 'XAA')()
        await order(pool, tenant, `X${x}B`)
      },
      'ready.entered': changeReferences(`X${x}C`, 'none'),
      'cutover.entered': changeReferences(`X${x}D`, 'none'),
    })
    t.equal(ended.phase, 'completed', { timeline: ended.timeline })
    t.equal(ended.reached.length, 3)
    t.same(await currencies(databaseOf(ground, ended.to)), await currencies(pool))
    t.same(
      await run(
        databaseOf(ground, ended.to),
        `select currency from orders where currency in ('SEK', $1) order by 1`,
        [`X${x}B`],
      ),
      [{ currency: 'SEK' }, { currency: `X${x}B` }],
    )
    const brought = ended.timeline.filter((message) => message.startsWith('Reference tables of the target'))
    t.equal(brought.length, 3, 'in verify, in ready and before the fence')
  })
}

t.test('a silo that is behind is found, and brought in step with a pool of its region', async (t) => {
  const inEast = asSuperuser(ground.eu.cluster, 'pool')
  const tenant = await ground.catalog.tenants.get('given-silo-logical')
  const on = databaseOf(ground, tenant.placement)
  const sync = (dryRun: boolean) => syncReferences(ground.catalog, tenant.id, { dryRun })
  const found = { tables: 1, different: ['currencies'], from: { cluster: 'eu-1', database: 'pool' } }
  const before = await currencies(on)
  t.match(await sync(true), { ...found, synced: false })
  await t.rejects(sync(false), {
    code: 'foreign_key_broken',
    details: { constraint: 'order_currency_exists' },
  })
  t.same(await currencies(on), before, 'nothing is changed for a row that is still needed')
  const needed = "('SEK', 'Krona', 2), ('XLB', 'Ell', 2)"
  await run(inEast, `insert into currencies values ${needed}`)
  await run(
    on,
    `create function shout() returns trigger language plpgsql as $$ begin new.name := upper(new.name); return new; end $$;
    create trigger shouts before insert or update on currencies for each row execute function shout()`,
  )
  t.match(await sync(false), { ...found, synced: true })
  t.same(await currencies(on), await currencies(inEast))
  t.match(await sync(false), { different: [], synced: false })
  t.same(
    await run(on, "select tgenabled from pg_trigger where tgname = 'shouts'"),
    [{ tgenabled: 'O' }],
    'triggers fire again',
  )
  t.match(await syncReferences(ground.catalog, (await ground.tenant('pooled', 1)).id, { dryRun: false }), {
    from: null,
    tables: 0,
  })
  t.match(
    (await ground.catalog.tenants.list({ limit: 50, own: true })).items.map(({ slug }) => slug),
    ['given-schema', 'given-silo-logical', 'given-silo-triggers'],
  )

  // Past row security, a foreign key would take the tenant's rows along.
  const orders = () => run(on, 'select count(*)::int as n from orders')
  const kept = await orders()
  await run(
    on,
    `alter table orders drop constraint order_currency_exists, add constraint order_currency_exists
       foreign key (currency) references currencies (code) on update cascade on delete cascade`,
  )
  await run(inEast, "delete from currencies where code in ('SEK', 'XLB')")
  await t.rejects(sync(false), { code: 'foreign_key_broken', details: { table: 'orders' } })
  await run(inEast, `insert into currencies values ${needed}, ('XNW', 'New', 2)`)
  t.match(await sync(false), { synced: true }, 'what comes takes nothing along')
  t.same(await orders(), kept)

  for (const database of [inEast, on]) {
    await run(
      database,
      `create table sizes (code text not null unique, name text); insert into sizes values ('M', 'medium');
       alter table sizes owner to freehold_owner; select freehold.declare_reference_table('sizes');
       grant select on sizes to freehold_mover`,
    )
  }
  await run(
    on,
    `create table labels (size text references sizes (code) on delete cascade); insert into labels values ('M');
     alter table labels owner to freehold_owner`,
  )
  await run(
    inEast,
    "insert into sizes values ('L', 'large'); update sizes set name = 'middle' where code = 'M'",
  )
  t.match(await sync(false), { different: ['sizes'], synced: true })
  t.same(await run(on, 'select size from labels'), [{ size: 'M' }], 'known by what is unique, a row stays')
  t.same(await run(on, "select name from sizes where code = 'M'"), [{ name: 'middle' }])
  await run(on, 'drop table labels')
  for (const database of [inEast, on]) {
    await run(
      database,
      "delete from freehold.managed_table where relation = 'sizes'::regclass; drop table sizes",
    )
  }
  await run(inEast, "delete from currencies where code in ('SEK', 'XLB', 'XNW')")
})

t.test('a foreign key that the source itself breaks ends the move at once', async (t) => {
  const tenant = await ground.tenant('broken-silo', 10)
  await run(pool, 'alter table orders drop constraint order_currency_exists')
  await order(pool, tenant, 'ZZZ')
  const ended = await runMove(ground, await ground.startMove(tenant))
  t.match(ended, {
    phase: 'aborted',
    error: { code: 'foreign_key_broken', details: { table: 'orders', constraint: 'order_currency_exists' } },
  })
  t.equal(
    ended.timeline.filter((message) => message.startsWith('Changes are followed')).length,
    1,
    'one copy',
  )
  await run(pool, "delete from orders where currency = 'ZZZ'")
  await run(
    pool,
    'alter table orders add constraint order_currency_exists foreign key (currency) references currencies (code)',
  )
})

t.test("a pool's reference tables are compared, and are not changed", async (t) => {
  const to = moveTargetSchema.parse({ isolation: 'pool', region: 'eu' })
  const inEast = asSuperuser(ground.eu.cluster, 'pool')
  const tenant = await ground.tenant('to-pool', 10)
  await order(pool, tenant, 'SEK')
  const refusal: unknown = await ground.startMove(tenant, to).catch((error: unknown) => error)
  t.match(refusal, {
    code: 'foreign_key_broken',
    details: { table: 'orders', constraint: 'order_currency_exists', findings: 'reference_row_missing' },
    issues: [{ path: 'currencies', message: /of which the target pool lacks 1/ }],
  })
  await run(inEast, "insert into currencies values ('SEK', 'Krona', 2)")
  const before = await currencies(inEast)
  const move = await ground.startMove(tenant, to)
  const ended = await runMove(ground, move, {
    'backfill.copied': () => order(pool, tenant, 'XTD'),
  })
  t.match(ended.timeline, [/Planned/, /with advice: .*reference_table_differs/])
  t.match(ended, { phase: 'aborted', error: { code: 'foreign_key_broken' } }, 'and once more in verify')
  t.same(await currencies(inEast), before)
})

t.test('a pool that does not fit is passed over', async (t) => {
  const to = moveTargetSchema.parse({ isolation: 'pool', region: 'eu' })
  const tenant = await ground.tenant('chooser', 1)
  await createDataDatabase(ground.eu.cluster, ground.eu.passwords, 'spare')
  const eu = clusterIdSchema.parse('eu-1')
  await ground.catalog.topology.registerPool({ clusterId: eu, name: 'spare' })
  const planned = () =>
    planMove(ground.catalog, {
      tenantIdOrSlug: tenant.id,
      target: to,
      rollbackWindowSeconds: 0,
      entrySecret: TEST_ENTRY_SECRET,
    })
  const { plan } = await planned()
  const preferred = asSuperuser(ground.eu.cluster, plan.to.database)
  const other = plan.to.database === 'pool' ? 'spare' : 'pool'
  for (const [spoil, restore, finding] of [
    ['alter table orders add extra text', 'alter table orders drop extra', 'table_differs'],
    ['create table stray (id int)', 'drop table stray', 'table_undeclared'],
  ] as const) {
    await run(preferred, spoil)
    t.equal((await planned()).plan.to.database, other, finding)
    await run(asSuperuser(ground.eu.cluster, other), spoil)
    const blocked = await planned()
    t.equal(blocked.plan.to.database, plan.to.database)
    t.match(blocked.plan.findings[0], { severity: 'blocking', code: finding, remedy: /./ })
    await run(preferred, restore)
    await run(asSuperuser(ground.eu.cluster, other), restore)
  }
})

t.test('what was compared before reference rows came in step is compared again', async (t) => {
  /** Runs a move; @returns how often all of the tenant was compared before the switch. */
  const verifications = async (
    slug: string,
    events: Readonly<Record<string, () => Promise<unknown>>>,
    settings: Partial<MoveSettings> = {},
  ) => {
    const move = await ground.startMove(await ground.tenant(slug, 50))
    let count: unknown
    const ended = await runMove(
      ground,
      move,
      {
        ...events,
        'cutover.entered': async () => {
          const [row] = await run(
            asSuperuser(ground.us.cluster, 'freehold_catalog'),
            "select state -> 'verifications' as count from catalog.operations where id = $1",
            [move.id],
          )
          count = row.count
        },
      },
      settings,
    )
    t.equal(ended.phase, 'completed', { timeline: ended.timeline })
    t.same(await currencies(databaseOf(ground, ended.to)), await currencies(pool))
    return count
  }
  t.equal(await verifications('seen-once', {}), 1)
  t.equal(await verifications('seen-in-ready', { 'ready.entered': changeReferences('XRY', 'none') }), 2)

  let points = 0
  const atSecondPoint = async () => {
    if (++points === 2) await changeReferences('XPT', 'XRY')()
    return 'again'
  }
  const manyPoints = { verifyBatchRows: 20, verifyPointMs: 0 }
  t.equal(await verifications('seen-between-points', {}, manyPoints), 1)
  t.equal(await verifications('seen-between', { 'verify.caught_up': atSecondPoint }, manyPoints), 2)
  t.ok(points > 3, `${points} points`)
  await run(pool, "delete from currencies where code = 'XPT'")
})

t.test('a row goes that a target which is behind refers to still', async (t) => {
  const tenant = await ground.tenant('behind', 10)
  await run(pool, "insert into currencies values ('XGO', 'Goes', 2)")
  await order(pool, tenant, 'XGO')
  const senders: number[] = []
  const goOn = async () => {
    for (const pid of senders) process.kill(pid, 'SIGCONT')
    return 'again'
  }
  const ended = await runMove(ground, await ground.startMove(tenant, 'eu', 'logical'), {
    'ready.entered': async () => {
      for (const { pid } of await run(pool, 'select pid from pg_stat_replication')) senders.push(pid)
      for (const pid of senders) process.kill(pid, 'SIGSTOP')
      await run(pool, "delete from orders where currency = 'XGO'")
      await run(pool, "delete from currencies where code = 'XGO'")
    },
    'verify.entered': goOn,
    'aborting.entered': goOn,
  })
  t.equal(ended.phase, 'completed', { timeline: ended.timeline })
  t.equal(senders.length, 1)
  t.equal(ended.timeline.filter((message) => message.endsWith('are equal on both sides.')).length, 2)
  t.same(await currencies(databaseOf(ground, ended.to)), await currencies(pool))
})
