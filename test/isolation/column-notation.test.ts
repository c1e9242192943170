// What a tenant calls as if it were a column leaves nothing for the next one, with the router's own pool and behind a
// pooler. Whoever gives sessions on as they are leaves all of it.

import { connectClient, type DatabaseAddress, withClient } from '@freehold/postgres'
import { createRouter, type Router } from '@freehold/tenancy'
import { sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { ConnectionPool } from '../../packages/tenancy/src/connections/connection-pool.ts'
import { startPreparedCluster } from '../kit/control-plane.ts'
import { startPgBouncer } from '../kit/pgbouncer.ts'
import { ControlledSource, testEntrySecret } from '../kit/tenants.ts'
import { columnCalls } from './attacks.ts'
import { enterAsAttacker, layGround } from './ground.ts'
import { withMethod, withoutReset } from './leaks/mutations.ts'
import { told } from './told.ts'

const prepared = await startPreparedCluster('column-notation')
const ground = await layGround(prepared, 'notation')
// As in a database where somebody has given it back: the router has to stand by itself.
await withClient(ground.database.superuser, 'test', (client) =>
  client.query('grant execute on function ts_stat(text) to public'),
)
const pooler = await startPgBouncer(ground.database.app, { poolSize: 1 })
t.teardown(async () => {
  await pooler.remove()
  await prepared.cluster.remove()
})
const calls = columnCalls(ground.victim)

/** All that a session has, but for what an entry sets in its own transaction. */
const STATE = `select coalesce((select string_agg(name || '=' || setting, ' ' order by name) from pg_settings
    where source = 'session' and name not in ('transaction_read_only', 'transaction_isolation', 'search_path')), '')
  || ' path=' || current_setting('search_path') || ' encoding=' || current_setting('client_encoding')
  || ' locks=' || (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()
    and mode = 'ExclusiveLock') as state`
const KEY = `select coalesce(current_setting('freehold.entry', true), '') as key`

function newRouter(address?: DatabaseAddress): Router {
  const source = new ControlledSource()
  for (const tenant of [ground.attacker, ground.victim]) {
    source.place(ground.database, tenant, address ? { address } : {})
  }
  return createRouter({
    source,
    entrySecret: testEntrySecret,
    maxConnectionsPerDatabase: 1,
    ...(address && { pooler: 'transaction' }),
  })
}

async function victimFinds(router: Router): Promise<string> {
  const db = router.forTenant(ground.victim)
  const { rows } = await sql.raw(STATE).execute(db)
  const names = await db.selectFrom('items').select('name').execute()
  return told([rows, names.length])
}

/** @returns which calls the victim notices. */
async function noticed(router: Router): Promise<string[]> {
  const attacker = router.forTenant(ground.attacker)
  // The first time a session is reset, it is told its settings by other means.
  await victimFinds(router)
  const before = await victimFinds(router)
  const found: string[] = []
  for (const text of calls) {
    for (const work of [
      () => sql.raw(text).execute(attacker),
      () => attacker.transaction().execute((trx) => sql.raw(text).execute(trx)),
      async () => {
        for await (const _ of attacker
          .selectFrom(sql.raw<Record<string, unknown>>(`(${text})`).as('x'))
          .selectAll()
          .stream(1));
      },
    ]) {
      await work()
      if ((await victimFinds(router).catch(told)) !== before) found.push(text)
    }
  }
  return found
}

/** @returns the key that the session of a pool has when nobody has entered, after a call of the attacker's. */
async function keyLeftBy(router: Router, text: string): Promise<string> {
  const used: pg.Client[] = []
  await withMethod(
    ConnectionPool.prototype,
    'release',
    (original) =>
      function (...given) {
        const client: unknown = Reflect.get(Object(given[0]), 'client')
        if (client instanceof pg.Client) used.push(client)
        return original.apply(this, given)
      },
    () => sql.raw(text).execute(router.forTenant(ground.attacker)),
  )
  const { rows } = (await used[0]?.query<{ key: string }>(KEY)) ?? { rows: [] }
  return rows[0]?.key ?? 'no session was seen'
}

/** What the session has that a client with no tenant is given. */
async function stateOf(address: DatabaseAddress): Promise<string> {
  return withClient(address, 'test', async (client) => {
    const state = await client.query(STATE)
    return told([state.rows, (await client.query(KEY)).rows])
  })
}

t.test('in a pool of the router', async (t) => {
  const router = newRouter()
  t.teardown(() => router.close())
  t.same(await noticed(router), [])
  for (const text of calls.filter((text) => text.includes('freehold.entry'))) {
    t.equal(await keyLeftBy(router, text), '', text)
  }
})

t.test('behind a pooler', async (t) => {
  const address = pooler.through(ground.database.app)
  const router = newRouter(address)
  t.teardown(() => router.close())
  await victimFinds(router)
  const before = await stateOf(address)
  t.same(await noticed(router), [])
  for (const text of calls) {
    await sql.raw(text).execute(router.forTenant(ground.attacker))
    t.equal(await stateOf(address), before, text)
  }
})

t.test('counter-test: without DISCARD ALL the victim notices', async (t) => {
  const router = newRouter()
  t.teardown(() => router.close())
  const found = await withoutReset(() => noticed(router))
  t.ok(found.some((text) => text.includes('ts_stat')))
  t.ok(found.some((text) => text.includes('pg_advisory_lock')))
  const leaves = calls.find((text) => text.includes('freehold.entry')) ?? ''
  t.equal(await withoutReset(() => keyLeftBy(router, leaves)), ground.attackerKey)
})

t.test('counter-test: each call changes a session that is given on as it is', async (t) => {
  const state = `${STATE}, current_setting('freehold.entry', true) as key`
  for (const text of calls) {
    const client = await connectClient(ground.database.app, 'test')
    const before = told((await client.query(state)).rows)
    await enterAsAttacker(client, ground)
    await client.query(text)
    await client.query('commit')
    t.not(told((await client.query(state)).rows), before, text)
    await client.end()
  }
})
