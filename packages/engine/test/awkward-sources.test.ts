import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { moveTargetSchema } from '@freehold/contract'
import { connectClient, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser, migrationsFolder } from '../../../test/kit/databases.ts'
import { type MovingGround, prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import { tenantContent } from '../../../test/kit/tenant-content.ts'

/** Sources that are set up in ways that a move must cope with, or refuse before it does harm. */
const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())
const pool = asSuperuser(ground.us.cluster, 'pool')

const asOwner = (sql: string) =>
  withClient(ground.us.as('freehold_owner', 'pool'), 'test', async (client) => {
    await client.query(sql)
  })

t.test('tables that a move would break, or that would break a move, are refused', async (t) => {
  const tenant = await ground.tenant('refused', 10)
  const refused = async (create: string, code: string) => {
    await asOwner(`create table awkward (tenant_id uuid not null, id int not null, ${create}`)
    await asOwner("select freehold.protect_table('awkward')")
    if (code === 'table_with_replica_trigger') {
      await asOwner(
        `create trigger always before insert on awkward for each row execute function touch_updated_at();
         alter table awkward enable always trigger always`,
      )
    }
    await t.rejects(ground.startMove(tenant), { code }, create)
    await asOwner(
      "delete from freehold.managed_table where relation = 'awkward'::regclass; drop table awkward",
    )
  }
  await refused('primary key (tenant_id, id) deferrable)', 'table_without_primary_key')
  await refused(
    'twice int generated always as (id * 2) stored, primary key (tenant_id, twice))',
    'table_without_primary_key',
  )
  await refused('primary key (id))', 'table_without_primary_key')
  await refused('primary key (tenant_id, id), updated_at timestamptz)', 'table_with_replica_trigger')
  t.same((await ground.catalog.moves.list({ limit: 10, tenant: tenant.id })).items, [], 'nothing was begun')
})

t.test('sequences that no column owns, or even draws from, go on in the silo where they stood', async (t) => {
  const tickets = `create sequence ticket_number;
    create sequence invoice_number; grant usage on sequence invoice_number to freehold_app;
    create table tickets (tenant_id uuid not null, id bigint not null default nextval('ticket_number'),
      primary key (tenant_id, id));
    select freehold.protect_table('tickets')`
  const tenant = await ground.tenant('ticketed', 10)
  await asOwner(tickets)
  await asOwner(
    "select setval('invoice_number', 4711, false); create sequence only_here; grant usage on sequence only_here to freehold_app",
  )
  await withClient(pool, 'test', (client) =>
    client.query('insert into tickets (tenant_id) select $1 from generate_series(1, 5)', [tenant.id]),
  )
  // The silo is made from migrations, so the table has to be there before it is loaded.
  const engine = ground.engine({
    barrier: async (name) => {
      if (name !== 'dual_write.entered') return
      const [move] = (await ground.catalog.moves.list({ limit: 1, tenant: tenant.id })).items
      await withClient(ground.eu.as('freehold_owner', move?.to.database ?? ''), 'test', (client) =>
        client.query(tickets),
      )
    },
  })
  t.teardown(() => engine.stop())
  engine.start()
  const ended = await ground.ended((await ground.startMove(tenant)).id)
  t.equal(ended.phase, 'completed')
  await withClient(asSuperuser(ground.eu.cluster, ended.to.database), 'test', async (client) => {
    const next = await client.query(
      "select nextval('ticket_number') as ticket, nextval('invoice_number') as invoice",
    )
    t.same(next.rows, [{ ticket: '6', invoice: '4711' }])
  })
  t.ok(ended.events.some(({ message }) => /where these sequences stand, .*: only_here\./.test(message)))
  await asOwner(
    "delete from freehold.managed_table where relation = 'tickets'::regclass; drop table tickets; drop sequence ticket_number, invoice_number, only_here",
  )
})

t.test(
  'tables that were declared and are gone, or have another name now, are in the way of nothing',
  async (t) => {
    const pools = [ground.us, ground.eu].map((server) => server.as('freehold_owner', 'pool'))
    const inPools = async (sql: string) => {
      for (const pool of pools) await withClient(pool, 'test', (client) => client.query(sql))
    }
    const vanished = async (database: typeof pool) =>
      (
        await withClient(database, 'test', (client) =>
          client.query(
            'select from freehold.managed_table where not exists (select from pg_class where oid = relation)',
          ),
        )
      ).rowCount
    await inPools(`
    create table gone (tenant_id uuid not null, id int not null, primary key (tenant_id, id));
    create table gone_reference (id int primary key);
    create table former_name (tenant_id uuid not null, id int not null, primary key (tenant_id, id));
    select freehold.protect_table('gone'), freehold.declare_reference_table('gone_reference'), freehold.protect_table('former_name');
    drop table gone, gone_reference;
    alter table former_name rename to later_name`)
    const product = await mkdtemp(join(tmpdir(), 'freehold-vanished-'))
    t.teardown(() => rm(product, { recursive: true }))
    await cp(migrationsFolder('product'), product, { recursive: true })
    await writeFile(
      join(product, '0004_gone.sql'),
      `create table later_name (tenant_id uuid not null, id int not null, primary key (tenant_id, id)); select freehold.protect_table('later_name');
     create table gone (tenant_id uuid not null primary key); select freehold.protect_table('gone'); drop table gone`,
    )
    const tenant = await ground.tenant('between-tables', 10)
    await withClient(pool, 'test', (client) =>
      client.query('insert into later_name select $1, n from generate_series(1, 5) n', [tenant.id]),
    )
    const before = await tenantContent(pool, tenant.id)
    t.equal(before.later_name?.length, 5)
    const engine = ground.engine({
      settings: { migrations: { freehold: migrationsFolder('data'), product } },
    })
    t.teardown(() => engine.stop())
    engine.start()
    for (const [isolation, region, left] of [
      ['pool', 'eu', 2],
      ['schema', 'us', 0],
      ['silo', 'eu', 0],
      ['pool', 'us', 0],
    ] as const) {
      const target = moveTargetSchema.parse({ isolation, region })
      const { to, phase } = await ground.ended((await ground.startMove(tenant, target)).id)
      t.equal(phase, 'completed', `${isolation} in ${region}`)
      const database = asSuperuser(ground[region].cluster, to.database)
      t.same(
        Object.values(await tenantContent(database, tenant.id))
          .flat()
          .sort(),
        Object.values(before).flat().sort(),
      )
      t.equal(await vanished(database), left, 'whoever makes a place leaves no such declaration there')
    }
    await inPools(
      'drop table later_name; delete from freehold.managed_table where not exists (select from pg_class where oid = relation)',
    )
  },
)

t.test('timeouts that are meant for applications do not end a move', async (t) => {
  await asOwner("alter database pool set idle_in_transaction_session_timeout = '20ms'")
  await asOwner("alter database pool set statement_timeout = '20ms'")
  t.teardown(() => asOwner('alter database pool reset all'))
  const tenant = await ground.tenant('hurried', 2_000)
  const engine = ground.engine({
    barrier: async (name) => {
      if (name === 'backfill.entered') await sleep(100)
    },
  })
  t.teardown(() => engine.stop())
  engine.start()
  const ended = await ground.ended((await ground.startMove(tenant)).id)
  t.equal(ended.phase, 'completed')
  t.equal(ended.events.filter(({ message }) => message.startsWith('Interrupted')).length, 0)
})

t.test('a tenant is followed by triggers where the mover may not replicate', async (t) => {
  const tenant = await ground.tenant('followed', 200)
  const before = await tenantContent(pool, tenant.id)
  const mayReplicate = (may: string) =>
    withClient(asSuperuser(ground.us.cluster, 'postgres'), 'test', (client) =>
      client.query(`alter role freehold_mover ${may}`),
    )
  await mayReplicate('noreplication')
  t.teardown(() => mayReplicate('replication'))
  await t.rejects(ground.startMove(tenant, 'eu', 'logical'), { code: 'move_blocked' })
  const engine = ground.engine()
  t.teardown(() => engine.stop())
  engine.start()
  const ended = await ground.ended((await ground.startMove(tenant)).id)
  t.equal(ended.phase, 'completed', JSON.stringify(ended.error))
  t.ok(ended.events.some(({ message }) => /followed by triggers/.test(message)))
  t.same(await tenantContent(asSuperuser(ground.eu.cluster, ended.to.database), tenant.id), before)
  const left = await withClient(pool, 'test', (client) =>
    client.query(
      `select tgname from pg_trigger where tgname like 'freehold%' union all select stream from freehold.change`,
    ),
  )
  t.same([...left.rows, ...(await ground.catalog.ledger.unreleased())], [], 'nothing is left')
})

t.test('a move that waits for a foreign transaction says so, and can be cancelled', async (t) => {
  const tenant = await ground.tenant('waiting', 10)
  const before = await tenantContent(pool, tenant.id)
  const stranger = await connectClient(asSuperuser(ground.us.cluster, 'postgres'), 'test')
  t.teardown(() => stranger.end())
  await stranger.query('begin; select pg_current_xact_id()')
  const engine = ground.engine({ leaseMs: 800, settings: { slotTimeoutMs: 300 } })
  t.teardown(() => engine.stop())
  engine.start()
  const move = await ground.startMove(tenant)
  while (
    !(await ground.catalog.moves.detail(move.id)).events.some(({ message }) => /source_busy/.test(message))
  ) {
    await sleep(50)
  }
  await ground.catalog.operations.requestCancel(move.id)
  const ended = await ground.ended(move.id)
  t.equal(ended.phase, 'aborted')
  t.equal(ended.error?.code, 'move_cancelled')
  t.same(await tenantContent(pool, tenant.id), before)
  await stranger.query('rollback')
  const slots = await withClient(pool, 'test', (client) => client.query('select from pg_replication_slots'))
  t.equal(slots.rowCount, 0, 'no slot is left')
})

t.test('rows are purged in batches wherever they lie, and nobody else loses one', async (t) => {
  const [staying, close, far] = [
    await ground.tenant('staying', 2_000),
    await ground.tenant('close-together', 0),
    await ground.tenant('among-others', 30),
  ]
  await withClient(pool, 'test', async (client) => {
    // On the same pages as somebody else's.
    await client.query(
      `insert into customers (tenant_id, email, name)
       select case n % 2 when 0 then $1::uuid else $2::uuid end, 'row' || n || '@x.test', 'n' from generate_series(1, 2000) n`,
      [staying.id, close.id],
    )
    await client.query(
      `insert into products (tenant_id, sku, name, currency, price, stock)
       select $1, n, 'n', 'EUR', 1, 1 from generate_series(1, 3) n`,
      [close.id],
    )
    const size = await client.query("select pg_relation_size('customers') / 8192 as pages")
    t.ok(size.rows[0]?.pages > 30 && size.rows[0]?.pages < 1_000, 'one has fewer rows than there are pages')
  })
  const before = await tenantContent(pool, staying.id)
  for (const tenant of [close, far]) {
    let batches = 0
    const engine = ground.engine({
      // The largest table first: what a rule puts there later is to be found.
      settings: { purgeBatchRows: 20, copyStreams: 1 },
      barrier: async (name) => {
        if (name === 'finalize.batch_purged') batches++
        if (name !== 'finalize.released' || tenant !== close) return
        await asOwner(
          `create rule left_behind as on delete to products do also
             insert into customers (tenant_id, email, name) values (old.tenant_id, 'left' || old.sku || '@x.test', 'n');
           alter table products enable always rule left_behind`,
        )
      },
    })
    engine.start()
    const ended = await ground.ended((await ground.startMove(tenant)).id)
    await engine.stop()
    t.equal(ended.phase, 'completed')
    t.ok(batches >= (tenant === close ? 51 : 2), `${batches} batches`)
    t.same(await tenantContent(pool, tenant.id), {})
    if (tenant === close) await asOwner('drop rule left_behind on products')
  }
  t.same(await tenantContent(pool, staying.id), before)
})
