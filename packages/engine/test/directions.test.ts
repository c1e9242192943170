import type { Tenant } from '@freehold/contract'
import { connectClient, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser, migrationsFolder } from '../../../test/kit/databases.ts'
import { type MovingGround, prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import { giveOwnSchema } from '../../../test/kit/own-schema.ts'
import { tableStructure } from '../../../test/kit/table-structure.ts'
import { tenantContent } from '../../../test/kit/tenant-content.ts'
import { startTenantWriter } from '../../../test/kit/tenant-writer.ts'
import { bareTables } from '../src/database/structure.ts'
import { claimTarget, targetWriters } from '../src/database/target-claim.ts'
import { createTenantSchema, dropTenantSchema } from '../src/resources/tenant-schema.ts'

const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())
const pool = asSuperuser(ground.us.cluster, 'pool')
const inSchemaOfItsOwn = (tenant: Tenant, schema: string) => giveOwnSchema(ground, tenant, schema)

t.test('a tenant moves from its own schema to a silo while it is written to', async (t) => {
  const neighbour = await ground.tenant('neighbour', 100)
  const sibling = await inSchemaOfItsOwn(await ground.tenant('sibling', 100), 't_sibling')
  const tenant = await inSchemaOfItsOwn(await ground.tenant('settler', 2_000), 't_settler')
  const others = async () => [await tenantContent(pool, neighbour.id), await tenantContent(pool, sibling.id)]
  const before = await others()

  const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant)
  const move = await ground.startMove(tenant)
  const engine = ground.engine({
    barrier: async (name) => {
      if (name !== 'cutover.activated') return
      // Between the switch and the purge both sides are there: everything but the writers' later rows is equal.
      const source = await contentOf(tenant, pool, 't_settler')
      t.ok(source.orders?.length === 2_000, 'the source still has what it had')
    },
  })
  t.teardown(() => engine.stop())
  engine.start()
  const ended = await ground.ended(move.id)
  const report = await writer.stop()
  t.comment(`${report.acknowledged} writes, longest pause ${report.longestPauseMs.toFixed(1)} ms`)

  t.equal(ended.phase, 'completed', JSON.stringify(ended.error))
  t.ok(report.acknowledged > 100, 'the tenant was written to')
  t.same(report.failures, [], 'no write failed')
  const home = asSuperuser(ground.eu.cluster, ended.to.database)
  t.same(await report.differences(home), [], 'every acknowledged write is in the home, once')
  t.equal((await tenantContent(home, tenant.id)).orders?.length, 2_000)
  t.same(await tenantContent(pool, tenant.id), {}, 'the pool holds none of its rows')
  t.same(
    await others(),
    before,
    'neighbours in the shared tables and in schemas of their own are as they were',
  )
  t.same(
    await tableStructure(home),
    await tableStructure(pool),
    'keys, indexes and guards are those of a silo',
  )
  t.same(await tracesOf('t_settler'), [], 'schema, residency, declarations and history are gone')
  t.same(await leftovers(), [], 'no slot, publication or ledger entry is left')
})

t.test('every row and sequence arrives as it was, and an interrupted removal is finished', async (t) => {
  const tenant = await inSchemaOfItsOwn(await ground.tenant('counter', 300), 't_counter')
  await withClient(pool, 'test', (client) =>
    client.query(
      `select setval(format('%I.%I', schemaname, sequencename)::regclass, 7000 + length(sequencename))
       from pg_sequences where schemaname = 't_counter'`,
    ),
  )
  const before = await contentOf(tenant, pool, 't_counter')
  const handedOut = await sequences(pool, 't_counter')
  const move = await ground.startMove(tenant)
  let interruptions = 0
  const engine = ground.engine({
    barrier: async (name) => {
      if (name === 'finalize.schema_recorded' && interruptions++ === 0) throw new Error('interrupted')
    },
  })
  t.teardown(() => engine.stop())
  engine.start()
  const ended = await ground.ended(move.id)
  t.equal(ended.phase, 'completed', JSON.stringify(ended.error))
  t.equal(interruptions, 1, 'the removal was interrupted once, and gone on with from the ledger')
  const home = asSuperuser(ground.eu.cluster, ended.to.database)
  t.same(await tenantContent(home, tenant.id), before)
  t.ok(Object.keys(before).length >= 5, 'every kind of table had rows')
  t.ok(handedOut.length > 0, 'the product draws from sequences')
  t.same(await sequences(home, 'public'), handedOut)
  t.same(await tracesOf('t_counter'), [])
  t.same(await leftovers(), [])
})

t.test('a difference is found between a schema and a silo, and the schema stays', async (t) => {
  const tenant = await inSchemaOfItsOwn(await ground.tenant('tampered', 300), 't_tampered')
  const before = await contentOf(tenant, pool, 't_tampered')
  const move = await ground.startMove(tenant)
  const engine = ground.engine({
    barrier: async (name) => {
      if (name !== 'verify.entered') return
      const { to } = await ground.catalog.moves.get(move.id)
      await withClient(asSuperuser(ground.eu.cluster, to.database), 'test', (client) =>
        client.query("update customers set name = name || '.' where id = (select id from customers limit 1)"),
      )
    },
  })
  t.teardown(() => engine.stop())
  engine.start()
  const ended = await ground.ended(move.id)
  t.match(ended.error, { code: 'verification_failed', details: { table: 'customers' } })
  t.same(await contentOf(tenant, pool, 't_tampered'), before)
  t.same(await leftovers(), [])
})

t.test('the tables of one schema are made bare for a load, and nobody else notices', async (t) => {
  const owner = ground.us.as('freehold_owner', 'pool')
  await withClient(owner, 'test', (client) =>
    createTenantSchema(client, 't_bare', migrationsFolder('product')),
  )
  await withClient(owner, 'test', (client) =>
    createTenantSchema(client, 't_whole', migrationsFolder('product')),
  )
  const structures = () => Promise.all([tableStructure(pool), partsOf('t_whole'), partsOf('t_bare')])
  const before = await structures()
  await withClient(owner, 'test', async (client) => {
    const restore = await bareTables(client, 't_bare')
    const [shared, whole, bare] = await structures()
    t.same([shared, whole], before.slice(0, 2), 'the shared tables and the other schema keep everything')
    t.not(bare.length, before[2].length, 'the schema has lost its keys and indexes')
    for (const part of restore) await client.query(part.restore)
  })
  t.same(await structures(), before, 'everything is back')
  for (const schema of ['t_bare', 't_whole']) {
    await withClient(owner, 'test', (client) => dropTenantSchema(client, schema))
  }
})

t.test('a move that takes its target over ends its own writers there, and no other move does', async (t) => {
  const mover = ground.us.as('freehold_mover', 'pool')
  const streams = ['freehold_move_one', 'freehold_move_two']
  const writers = await Promise.all(
    streams.map((stream) => connectClient(mover, targetWriters(stream).apply)),
  )
  const ended = writers.map((writer) => new Promise<void>((resolve) => writer.on('end', () => resolve())))
  for (const writer of writers) writer.on('error', () => undefined)
  await withClient(mover, 'test', (client) =>
    claimTarget(client, { stream: streams[0] ?? '', fencingToken: 1 }),
  )
  await ended[0]
  t.equal((await writers[1]?.query('select 1'))?.rowCount, 1, "the other move's writer goes on")
  await writers[1]?.end()
  await withClient(mover, 'test', (client) => client.query('delete from freehold.applied'))
})

t.test('a schema in which its tenant lives cannot be removed', async (t) => {
  const tenant = await inSchemaOfItsOwn(await ground.tenant('resident', 50), 't_resident')
  const before = await contentOf(tenant, pool, 't_resident')
  const owner = ground.us.as('freehold_owner', 'pool')
  for (const state of ['active', 'frozen']) {
    await setState(tenant, state)
    await t.rejects(
      withClient(owner, 'test', (client) => dropTenantSchema(client, 't_resident')),
      { code: 'internal' },
      state,
    )
  }
  t.same(await contentOf(tenant, pool, 't_resident'), before)
  await setState(tenant, 'moved')
  await withClient(owner, 'test', (client) => dropTenantSchema(client, 't_resident'))
  await withClient(owner, 'test', (client) => dropTenantSchema(client, 't_resident'))
  t.same(await tracesOf('t_resident'), [], 'nothing is left, and nothing more happens the second time')
})

async function sequences(database: typeof pool, schema: string): Promise<unknown[]> {
  return withClient(database, 'test', async (client) => {
    const found = await client.query(
      'select sequencename, last_value from pg_sequences where schemaname = $1 order by 1',
      [schema],
    )
    return found.rows
  })
}

/** Constraints, indexes, triggers and row security of a schema's tables. */
async function partsOf(schema: string): Promise<unknown[]> {
  return withClient(pool, 'test', async (client) => {
    const found = await client.query(
      `with tables as (select oid, relname, relforcerowsecurity from pg_class
         where relnamespace = quote_ident($1)::regnamespace and relkind in ('r', 'p'))
       select format('%s %s', conname, pg_get_constraintdef(c.oid)) as part from pg_constraint c join tables on tables.oid = conrelid
       union all select pg_get_indexdef(indexrelid) from pg_index join tables on tables.oid = indrelid
         where not exists (select from pg_inherits where inhrelid = indexrelid)
       union all select format('%s %s', tgname, tgenabled) from pg_trigger join tables on tables.oid = tgrelid where not tgisinternal
       union all select format('%s %s', relname, relforcerowsecurity) from tables
       order by 1`,
      [schema],
    )
    return found.rows
  })
}

async function setState(tenant: Tenant, state: string): Promise<void> {
  await withClient(pool, 'test', (client) =>
    client.query('update freehold.resident set state = $2::freehold.residency_state where tenant_id = $1', [
      tenant.id,
      state,
    ]),
  )
}

/** What a tenant has in its own schema, by the tables' bare names. */
async function contentOf(tenant: Tenant, database: typeof pool, schema: string) {
  const content = await tenantContent(database, tenant.id)
  const foreign = Object.keys(content).filter((name) => !name.startsWith(`${schema}.`))
  if (foreign.length > 0) throw new Error(`rows outside of ${schema}: ${foreign.join(', ')}`)
  return Object.fromEntries(
    Object.entries(content).map(([name, rows]) => [name.slice(schema.length + 1), rows]),
  )
}

/** Whatever in the pool still speaks of a schema, or of tables that are not there any more. */
async function tracesOf(schema: string): Promise<unknown[]> {
  return withClient(pool, 'test', async (client) => {
    const found = await client.query(
      `select 'schema' as what from pg_namespace where nspname = $1
       union all select 'declared' from freehold.tenant_schema where schema_name = $1
       union all select 'resident' from freehold.resident where schema_name = $1
       union all select 'table ' || relation::oid from freehold.managed_table
         where not exists (select from pg_class where pg_class.oid = relation)
       union all select 'history' from pg_class where relnamespace = 'freehold_migrations'::regnamespace and relkind = 'r'
         having count(*) <> 2 + (select count(*) from freehold.tenant_schema)`,
      [schema],
    )
    return found.rows
  })
}

async function leftovers(): Promise<unknown[]> {
  const ledger = await ground.catalog.ledger.unreleased()
  const atSource = await withClient(pool, 'test', async (client) => [
    ...(await client.query('select slot_name from pg_replication_slots')).rows,
    ...(await client.query('select pubname from pg_publication')).rows,
  ])
  return [...ledger, ...atSource]
}
