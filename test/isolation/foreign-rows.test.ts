// I3: entered as one tenant, no SQL whatever reads or writes a row of another. I8: without entry, nothing.

import { connectClient, withClient } from '@freehold/postgres'
import { createRouter } from '@freehold/tenancy'
import { sql } from 'kysely'
import type pg from 'pg'
import t from 'tap'
import { startPreparedCluster } from '../kit/control-plane.ts'
import { ControlledSource, testEntrySecret } from '../kit/tenants.ts'
import { type Attack, attacks, type Handover, handovers } from './attacks.ts'
import { enterAsAttacker, type Ground, layGround, openSession } from './ground.ts'
import { told } from './told.ts'

const prepared = await startPreparedCluster('isolation')
t.teardown(() => prepared.cluster.remove())
const ground = await layGround(prepared, 'isolation')
const source = new ControlledSource()
source.place(ground.database, ground.attacker)
source.place(ground.database, ground.victim)

/** Runs an attack in one session, going on after every error. */
async function runInSession(one: Attack, on: Ground, client: pg.Client): Promise<string[]> {
  const answers: string[] = []
  const quietly = (text: string) => client.query(text).catch(() => undefined)
  await enterAsAttacker(client, on)
  for (const text of one.statements) {
    await quietly('savepoint attack')
    try {
      answers.push(told((await client.query({ text, rowMode: 'array' })).rows))
    } catch (error) {
      answers.push(told(error))
      await quietly('rollback to savepoint attack')
    }
  }
  // What it has achieved is to count.
  await quietly('commit')
  return answers
}

const all = attacks(ground)

t.test('a whole session of the attacker', async (t) => {
  const before = await ground.victimState()
  for (const one of all) {
    await ground.refill()
    const { client, notices } = await openSession(ground)
    const answers = await runInSession(one, ground, client)
    await client.end()
    const leaked = [...answers, ...notices].filter((text) => text.includes(ground.marker))
    // What the attacker itself has typed comes back in messages.
    const typed = one.statements.join(' ').includes(ground.marker)
    t.same(typed ? leaked.filter((text) => !text.includes(`code of ${ground.marker}`)) : leaked, [], one.name)
    t.equal(await ground.victimState(), before, `${one.name}: the victim's rows`)
  }
})

t.test('a handler of the attacker, through the router', async (t) => {
  const before = await ground.victimState()
  const router = createRouter({ source, entrySecret: testEntrySecret, maxConnectionsPerDatabase: 1 })
  t.teardown(() => router.close())
  const db = router.forTenant(ground.attacker)
  const victim = router.forTenant(ground.victim)
  for (const one of all) {
    await ground.refill()
    const answers: string[] = []
    const attempt = async (work: () => Promise<unknown>) => {
      answers.push(told(await work().catch((error: unknown) => error)))
    }
    for (const text of one.statements) await attempt(() => sql.raw(text).execute(db))
    await attempt(() =>
      db.transaction().execute(async (trx) => {
        for (const text of one.statements) await attempt(() => sql.raw(text).execute(trx))
      }),
    )
    await attempt(() =>
      db.connection().execute(async (bound) => {
        for (const text of one.statements) await attempt(() => sql.raw(text).execute(bound))
      }),
    )
    const leaked = answers.filter((text) => text.includes(ground.marker) && !text.includes('code of'))
    t.same(leaked, [], one.name)
    t.equal(await ground.victimState(), before, `${one.name}: the victim's rows`)
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from items`.execute(victim)
    t.same(rows, [{ n: 50 }], `${one.name}: the victim is served on the same connection`)
  }
})

/** What the victim finds before and after, in one session that nobody resets. */
async function handOverInSession(one: Handover, on: Ground): Promise<{ before: string; after: string }> {
  const { client } = await openSession(on)
  const find = () => client.query({ text: one.find, rowMode: 'array' }).then(({ rows }) => told(rows), told)
  const before = await find()
  await runInSession(one, on, client)
  const after = await find()
  await client.end()
  return { before, after }
}

/** What the victim finds before and after, by the router, on the same connection. */
async function handOverByRouter(one: Handover, on: Ground): Promise<{ before: string; after: string }> {
  const placed = new ControlledSource()
  placed.place(on.database, on.attacker)
  placed.place(on.database, on.victim)
  const router = createRouter({ source: placed, entrySecret: testEntrySecret, maxConnectionsPerDatabase: 1 })
  const attacker = router.forTenant(on.attacker)
  const find = () =>
    sql
      .raw(one.find)
      .execute(router.forTenant(on.victim))
      .then(({ rows }) => told(rows), told)
  const before = await find()
  for (const text of one.statements) {
    await sql
      .raw(text)
      .execute(attacker)
      .catch(() => undefined)
    await attacker
      .transaction()
      .execute((trx) => sql.raw(text).execute(trx))
      .catch(() => undefined)
  }
  const after = await find()
  await router.close()
  return { before, after }
}

t.test('nothing is left for the next tenant', async (t) => {
  for (const one of handovers()) {
    const inSession = await handOverInSession(one, ground)
    t.equal(inSession.after, inSession.before, `${one.name}: refused by the server`)
    const byRouter = await handOverByRouter(one, ground)
    t.equal(byRouter.after, byRouter.before, `${one.name}: by the router`)
  }
})

t.test('a table takes its numbers from a sequence that it does not own', async (t) => {
  const router = createRouter({ source, entrySecret: testEntrySecret })
  t.teardown(() => router.close())
  const { rows } = await sql<{ id: string }>`insert into tickets default values returning id`.execute(
    router.forTenant(ground.victim),
  )
  t.equal(rows.length, 1)
  const rights = `select string_agg(privilege_type, ' ' order by privilege_type) as rights
    from pg_class, aclexplode(relacl) where relname = 'ticket_numbers' and grantee = $1::regrole`
  const of = (role: string) =>
    withClient(ground.database.superuser, 'test', async (client) => (await client.query(rights, [role])).rows)
  t.same(await of('freehold_app'), [{ rights: 'USAGE' }])
  t.same(await of('freehold_mover'), [{ rights: 'SELECT UPDATE USAGE' }])
})

t.test("the victim's key is nowhere to be read", async (t) => {
  const router = createRouter({ source, entrySecret: testEntrySecret })
  t.teardown(() => router.close())
  const { client, notices } = await openSession(ground)
  const busy = sql`select pg_sleep(0.3), ${'parameter-of-the-victim'}::text`.execute(
    router.forTenant(ground.victim),
  )
  const answers: string[] = []
  for (let times = 0; times < 10; times++) {
    await t.rejects(client.query('select * from pg_stat_activity'), { code: '42501' })
    for (const text of ['select * from pg_locks', 'select * from pg_settings']) {
      answers.push(told((await client.query(text)).rows))
    }
  }
  await busy
  await client.end()
  const seen = [...answers, ...notices].join('\n')
  t.notOk(seen.includes(ground.victimKey))
  t.notOk(/pg_sleep|parameter-of-the-victim/.test(seen))
})

t.test('without entry there are no rows and no writes', async (t) => {
  const before = await ground.victimState()
  const { client } = await openSession(ground)
  t.teardown(() => client.end())
  const without = async (how: string) => {
    for (const table of ['items', 'orders', 'codes', 'events', 'all_items', 'items_of_owner()']) {
      t.same((await client.query(`select * from ${table}`)).rows, [], `${table} ${how}`)
    }
    t.equal((await client.query(`update items set name = 'x'`)).rowCount, 0)
    t.equal((await client.query('delete from items')).rowCount, 0)
    for (const tenant of [ground.attacker, ground.victim, null]) {
      const insert = client.query(`insert into items (tenant_id, id, name) values ($1, 999, 'x')`, [tenant])
      await t.rejects(insert, { code: '42501' })
    }
    await t.rejects(client.query(`insert into items (id, name) values (999, 'x')`), { code: '42501' })
  }
  await without('with nothing set')
  await client.query(`select set_config('freehold.tenant_id', $1, false)`, [ground.victim])
  await without('with an id set')
  await client.query(`select set_config('freehold.entry', $1, false)`, [ground.victim])
  await without('with a wrong key')
  await enterAsAttacker(client, ground)
  await client.query('rollback')
  await without('after a transaction')
  t.equal(await ground.victimState(), before)
})

// Each guard taken away: the same attempt succeeds, so the tests above would notice.

t.test('counter-tests', async (t) => {
  const weak = await layGround(prepared, 'weakened')
  const asOwner = (text: string) => withClient(weak.database.owner, 'test', (client) => client.query(text))
  const leaks = async (...statements: string[]) => {
    const { client, notices } = await openSession(weak)
    const answers = await runInSession({ name: '', statements }, weak, client)
    await client.end()
    return [...answers, ...notices].some((text) => text.includes(weak.marker))
  }
  const tampers = async (...statements: string[]) => {
    const before = await weak.victimState()
    await leaks(...statements)
    const changed = (await weak.victimState()) !== before
    return changed
  }

  t.notOk(await leaks('select * from items'))
  await asOwner('alter table items disable row level security')
  t.ok(await leaks('select * from items'), 'row security is what hides rows')
  t.ok(await leaks('select * from items where leak(name)'))
  t.ok(await leaks('copy (select * from items) to stdout', 'table items'))
  t.ok(await leaks('select * from pg_stats'), 'statistics')
  t.ok(await tampers(`update items set quantity = quantity + 1 where tenant_id = '${weak.victim}'`))
  t.ok(await tampers(`insert into items values ('${weak.victim}', 900, 'planted')`))
  t.ok(
    await tampers(`insert into items values ('${weak.victim}', 1, 'x')
    on conflict (tenant_id, id) do update set quantity = items.quantity + 1`),
  )
  t.ok(
    await tampers(`merge into items using (values (2)) v (i) on items.id = v.i
    when matched then update set quantity = items.quantity + 1`),
  )
  await asOwner('alter table items enable row level security')
  t.notOk(await leaks('select * from items'))

  await asOwner('alter table items no force row level security')
  t.ok(await leaks('select * from items_of_owner()'), 'FORCE is what binds the owner')
  await asOwner('alter table items force row level security')
  t.notOk(await leaks('select * from items_of_owner()'))

  await asOwner(`create view unbarred as select tenant_id, name from items_all`).catch(() => undefined)
  const reader = 'freehold.late_reader(text, freehold.residency_state, timestamptz)'
  await asOwner(
    `alter view freehold.entered reset (security_barrier); alter function ${reader} cost 0.0000001`,
  )
  const leakResidents = 'select * from freehold.entered where leak(tenant_id)'
  const { client, notices } = await openSession(weak)
  await runInSession({ name: '', statements: [leakResidents] }, weak, client)
  await client.end()
  t.ok(notices.join().includes(weak.victim), 'the barrier is what hides the other residents')
  await asOwner('alter view freehold.entered set (security_barrier)')
  const guarded = await openSession(weak)
  await runInSession({ name: '', statements: [leakResidents] }, weak, guarded.client)
  await guarded.client.end()
  t.notOk(guarded.notices.join().includes(weak.victim))

  const trusting = `current_setting('freehold.tenant_id', true)::uuid`
  await asOwner(`alter policy freehold_tenant on items using (tenant_id = ${trusting})`)
  const pretend = `select set_config('freehold.tenant_id', '${weak.victim}', true)`
  t.ok(await leaks(pretend, 'select * from items'), 'a key, and not an id that anybody can set')
  await asOwner(`alter policy freehold_tenant on items
    using (tenant_id = (select tenant_id from freehold.entered)::uuid)`)
  t.notOk(await leaks(pretend, 'select * from items'))

  await asOwner('grant select on events_2026 to freehold_app')
  t.notOk(await leaks('select * from events_2026'), 'partitions are protected twice')
  await asOwner('alter table events_2026 disable row level security')
  t.ok(await leaks('select * from events_2026'))

  await asOwner('alter table orders drop constraint orders_tenant_id_item_id_fkey')
  await withClient(weak.database.superuser, 'test', async (superuser) => {
    await superuser.query('create table parts (tenant_id uuid, id int primary key, note text)')
    await superuser.query(`insert into parts values ('${weak.victim}', 1, 'x')`)
    await superuser.query(
      'create table uses (tenant_id uuid, part int references parts, primary key (tenant_id, part))',
    )
    await superuser.query('alter table parts owner to freehold_owner')
    await superuser.query('alter table uses owner to freehold_owner')
  })
  await asOwner(`select freehold.protect_table('parts'), freehold.protect_table('uses')`)
  const referring = await openSession(weak)
  await enterAsAttacker(referring.client, weak)
  const planted = await referring.client.query('insert into uses (part) values (1)')
  t.equal(planted.rowCount, 1, 'a foreign key without the tenant reaches across')
  await referring.client.query('rollback')
  await referring.client.end()
})

t.test('counter-test: what the server is not told to refuse is left for the next tenant', async (t) => {
  const open = await layGround(prepared, 'open')
  await withClient(open.database.superuser, 'test', (client) =>
    client.query(`grant update on pg_settings to public;
      grant execute on function lo_from_bytea(oid, bytea), lo_get(oid) to public`),
  )
  for (const one of handovers()) {
    const found = await handOverInSession(one, open)
    t.not(found.after, found.before, `${one.name}: nothing else refuses it`)
  }
  for (const one of handovers().filter(({ find }) => !find.includes('lo_get'))) {
    const found = await handOverByRouter(one, open)
    t.equal(found.after, found.before, `${one.name}: the router resets the session anyway`)
  }
})

t.test('counter-test: a session that is not reset gives the next tenant away', async (t) => {
  const { preparedStatements, scopedQuery, statementName } = await import('@freehold/postgres')
  const client = await connectClient(ground.database.app, 'test')
  t.teardown(() => client.end())
  const entry = (tenantId: string, entryKey: string) => ({
    tenantId,
    entryKey,
    mode: 'reader' as const,
  })
  const one = { text: 'select 1', values: [] }
  await scopedQuery(client, entry(ground.attacker, ground.attackerKey), one)
  const name = `"${statementName('select freehold.enter_reader($1)')}"`
  await client.query(`deallocate ${name}`)
  await client.query(`prepare ${name} (text) as select set_config('stolen.key', $1, false)`)
  await scopedQuery(client, entry(ground.victim, ground.victimKey), one)
  const stolen = await client.query(`select current_setting('stolen.key') as key`)
  t.equal(stolen.rows[0]?.key, ground.victimKey, 'so whatever might do that is followed by DISCARD ALL')
  await client.query('discard all')
  preparedStatements(client).clear()
  await scopedQuery(client, entry(ground.victim, ground.victimKey), one)
  const after = await client.query(`select current_setting('stolen.key', true) as key`)
  t.equal(after.rows[0]?.key || null, null)

  const router = createRouter({ source, entrySecret: testEntrySecret, maxConnectionsPerDatabase: 1 })
  t.teardown(() => router.close())
  const attacker = router.forTenant(ground.attacker)
  await attacker.transaction().execute(async (trx) => {
    await sql.raw(`deallocate all`).execute(trx)
    await sql.raw(`prepare ${name} (text) as select set_config('stolen.key', $1, false)`).execute(trx)
  })
  await sql`select count(*) from items`.execute(router.forTenant(ground.victim))
  const { rows } = await sql<{
    key: string | null
  }>`select current_setting('stolen.key', true) as key`.execute(attacker)
  t.equal(rows[0]?.key || null, null, 'and the router does that')
})
