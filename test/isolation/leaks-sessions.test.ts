// Leaks 1, 2, 4, 5 and 6: what one tenant leaves in a session, and another one finds there; by their numbers in
// docs/isolation.md. Each is tried through the router, and then again with its guard taken out.

import { clientConfig, withClient } from '@freehold/postgres'
import { type DatabaseConnection, type Driver, type Kysely, sql } from 'kysely'
import pg from 'pg'
import { TenantDialect } from '../../packages/tenancy/src/entry/tenant-dialect.ts'
import { ReconnectingSlot, RememberedScope } from './leaks/broken-patterns.ts'
import {
  asSuperuser,
  type LeakGround,
  layGrounds,
  onEachGround,
  readNames,
  type Tables,
  tableOf,
} from './leaks/leak-ground.ts'
import {
  withMethod,
  withoutReset,
  withoutStateChecks,
  withPolicy,
  withPreviousTenantPersisting,
} from './leaks/mutations.ts'
import { told } from './told.ts'

const grounds = await layGrounds('leaks-sessions')

const quietly = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    () => undefined,
  )
const tell = (work: Promise<unknown>) => work.then(told, told)

/** Runs statements in each of the ways in which a handler can. */
async function runInEveryWay(db: Kysely<Tables>, statements: readonly string[]): Promise<void> {
  for (const text of statements) await quietly(sql.raw(text).execute(db))
  await db.connection().execute(async (bound) => {
    for (const text of statements) await quietly(sql.raw(text).execute(bound))
  })
  await quietly(
    db.transaction().execute(async (trx) => {
      for (const [index, text] of statements.entries()) {
        await sql.raw(`savepoint s${index}`).execute(trx)
        await sql
          .raw(text)
          .execute(trx)
          .catch(() => sql.raw(`rollback to savepoint s${index}`).execute(trx))
      }
    }),
  )
}

interface Residue {
  readonly name: string
  readonly leave: readonly string[]
  /** Shows the marker, or anything else of the earlier request's, to whoever comes later. */
  readonly find: string
}

const RESIDUES: readonly Residue[] = [
  {
    name: 'a setting by SET',
    leave: [`set leaks.of_tenant = 'marker-of-the-victim'`],
    find: `select current_setting('leaks.of_tenant', true)`,
  },
  {
    name: 'a setting by a function',
    leave: [`select set_config('leaks.of_tenant', name, false) from items where id = 1`],
    find: `select current_setting('leaks.of_tenant', true)`,
  },
  {
    name: 'a cursor with hold',
    leave: ['declare kept cursor with hold for select name from items'],
    find: 'fetch all from kept',
  },
  {
    name: 'a prepared statement',
    leave: [`prepare kept as select 'marker-of-the-victim'`],
    find: 'execute kept',
  },
]

/** What the successor finds of what the victim leaves. */
async function leaveAndFind(ground: LeakGround, { leave, find }: Residue): Promise<string> {
  const router = ground.router()
  try {
    await runInEveryWay(router.forTenant(ground.victim.id), leave)
    return await tell(sql.raw(find).execute(router.forTenant(ground.successor.id)))
  } finally {
    await router.close()
  }
}

onEachGround(grounds, '1: what a session was told survives its release', async (t, ground) => {
  for (const residue of RESIDUES) {
    t.notMatch(await leaveAndFind(ground, residue), ground.marker, residue.name)
    const unguarded = await withoutReset(() => leaveAndFind(ground, residue))
    t.match(unguarded, ground.marker, `${residue.name}: without DISCARD ALL it is found`)
  }
})

/** The usual pattern: a pool of one, the tenant set for the session, and a handler that forgets to set it. */
async function forgetToSetTenant(ground: LeakGround): Promise<string> {
  const pool = new pg.Pool({ ...clientConfig(ground.victim.home.app, 'pattern'), max: 1 })
  try {
    const earlier = await pool.connect()
    await earlier.query(`select set_config('leaks.tenant', $1, false)`, [ground.victim.id])
    earlier.release()
    const later = await pool.connect()
    const { rows } = await later.query(`select name from ${tableOf(ground.victim)} order by id`)
    later.release()
    return told(rows)
  } finally {
    await pool.end()
  }
}

onEachGround(grounds, '1: the tenant itself is never a setting of the session', async (t, ground) => {
  const table = tableOf(ground.victim)
  t.equal(await forgetToSetTenant(ground), '[]', 'nobody has entered, so there are no rows')
  const leaked = await withPolicy(
    ground.victim.home,
    table,
    { using: `tenant_id::text = current_setting('leaks.tenant', true)` },
    () => forgetToSetTenant(ground),
  )
  t.match(leaked, ground.marker, 'with a policy that believes a setting, the previous tenant is served')
})

/**
 * A savepoint, another tenant's turn, and back to the savepoint: the server is as it was, and whoever remembers the
 * turns is wrong. The victim's turn comes first.
 */
async function returnToSavepoint(ground: LeakGround): Promise<string> {
  return withClient(ground.victim.home.app, 'test', async (client) => {
    const scope = new RememberedScope(client)
    await client.query('begin')
    await scope.use(ground.victim)
    await client.query('savepoint before')
    await scope.use(ground.attacker)
    await client.query('rollback to savepoint before')
    await scope.use(ground.attacker)
    const { rows } = await client.query('select name from items order by id')
    await client.query('rollback')
    return told(rows)
  })
}

onEachGround(grounds, '2: what is set comes back with a savepoint', async (t, ground) => {
  const router = ground.router()
  t.teardown(() => router.close())
  const { attacker, victim } = ground
  const namesItself = (whose: string, back: boolean) =>
    router
      .forTenant(attacker.id)
      .transaction()
      .execute(async (trx) => {
        await sql`savepoint before`.execute(trx)
        await sql.raw(whose).execute(trx)
        if (back) await sql`rollback to savepoint before`.execute(trx)
        return readNames(trx)
      })
  const own = ['own-1', 'own-2', 'own-3']
  const path = `select set_config('search_path', $$"${(victim.schema ?? 'public').replaceAll('"', '""')}"$$, true)`
  const key = `select set_config('freehold.entry', 'a guess', true)`
  for (const round of [1, 2]) {
    t.same(await namesItself(path, true), own, `back from another search path, ${round}`)
    t.same(await namesItself(key, true), own, `back from another key, ${round}`)
    t.same(await namesItself(key, false), [], 'and not back')
    t.equal((await readNames(router.forTenant(victim.id))).length, 4, `the victim is served, ${round}`)
    t.same(await readNames(router.forTenant(attacker.id)), own)
  }

  t.equal(await returnToSavepoint(ground), '[]', 'whoever remembers turns has entered as nobody')
  const leaked = await withPolicy(
    victim.home,
    tableOf(victim),
    { using: victim.schema === null ? `tenant_id::text = current_setting('leaks.tenant', true)` : 'true' },
    () => returnToSavepoint(ground),
  )
  t.match(leaked, ground.marker, 'and is served the tenant before, where what is remembered is believed')
})

onEachGround(grounds, '2: who it is, and where, is told with every entry', async (t, ground) => {
  const attempt = async () => {
    const router = ground.router()
    try {
      await readNames(router.forTenant(ground.victim.id))
      return await router
        .forTenant(ground.attacker.id)
        .transaction()
        .execute(async (trx) => {
          await sql`savepoint before`.execute(trx)
          await sql`select set_config('leaks.anything', 'x', true)`.execute(trx)
          await sql`rollback to savepoint before`.execute(trx)
          return readNames(trx)
        })
    } finally {
      await router.close()
    }
  }
  t.same(await attempt(), ['own-1', 'own-2', 'own-3'])
  const remembered = await withPreviousTenantPersisting(ground, attempt)
  t.match(remembered, [`${ground.marker}-1`], 'with an entry that remembers, the tenant before is served')
})

interface Abandoned {
  readonly name: string
  readonly work: (db: Kysely<Tables>) => Promise<unknown>
}

/** Ways to give a connection back while a transaction is open on it, or has failed. */
const ABANDONED: readonly Abandoned[] = [
  { name: 'BEGIN as raw SQL', work: (db) => sql.raw('begin').execute(db) },
  {
    name: 'BEGIN on a bound connection',
    work: (db) => db.connection().execute((bound) => sql.raw('begin').execute(bound)),
  },
  {
    name: 'COMMIT AND CHAIN',
    work: (db) => db.transaction().execute((trx) => sql.raw('commit and chain').execute(trx)),
  },
  {
    name: 'an error that is swallowed, and then COMMIT AND CHAIN',
    work: (db) =>
      db.transaction().execute(async (trx) => {
        await quietly(sql.raw('select 1 / 0').execute(trx))
        await sql.raw('rollback and chain').execute(trx)
      }),
  },
]

/** What is there, seen from outside, of what the successor has written and had acknowledged. */
async function writeAfter(ground: LeakGround, { work }: Abandoned): Promise<string> {
  const { victim, successor } = ground
  const router = ground.router()
  try {
    await quietly(work(router.forTenant(victim.id)))
    const acknowledged = await tell(
      router.forTenant(successor.id).insertInto('items').values({ id: 77, name: 'acknowledged' }).execute(),
    )
    const found = await asSuperuser(
      successor.home,
      `delete from ${tableOf(successor)} where tenant_id = '${successor.id}' and id = 77 returning name`,
    )
    return found.length === 1 ? 'stays' : `is lost: ${acknowledged}`
  } finally {
    await router.close()
  }
}

onEachGround(grounds, '4: a connection is given back inside a transaction', async (t, ground) => {
  for (const one of ABANDONED) {
    t.equal(await writeAfter(ground, one), 'stays', one.name)
    const unguarded = await withoutStateChecks(() => withoutReset(() => writeAfter(ground, one)))
    t.match(unguarded, /^is lost/, `${one.name}: without a look at its state the next one's write is lost`)
  }
})

onEachGround(grounds, '4: a transaction that nobody ends', async (t, ground) => {
  const router = ground.router({ connectionWaitMs: 2_000 })
  t.teardown(() => router.close())
  const { victim, successor } = ground
  const open = await router.forTenant(victim.id).startTransaction().execute()
  await open.insertInto('items').values({ id: 5, name: ground.marker }).execute()
  await t.rejects(readNames(router.forTenant(successor.id)), { code: 'connection_budget_exhausted' })
  await open.rollback().execute()
  const names = await readNames(router.forTenant(successor.id))
  t.equal(names.length, successor === victim ? 4 : 3, "what it had written is nobody's")
})

/** Kysely's connections are used again, as a driver for one connection each would do. */
function withReusedConnections<T>(work: () => Promise<T>): Promise<T> {
  return withMethod(
    TenantDialect.prototype,
    'createDriver',
    (original) =>
      function () {
        const driver = original.apply(this) as Driver
        const spare: DatabaseConnection[] = []
        const { acquireConnection, releaseConnection } = driver
        driver.acquireConnection = async () => spare.pop() ?? acquireConnection.call(driver)
        driver.releaseConnection = async (connection) => {
          await releaseConnection.call(driver, connection)
          spare.push(connection)
        }
        return driver
      },
    work,
  )
}

/** Whether a handle that was kept beyond its time writes into the transaction of another request. */
async function writeByKeptHandle(ground: LeakGround): Promise<string[]> {
  const router = ground.router({ maxConnectionsPerDatabase: 3, maxConnectionsPerTenant: 3 })
  const db = router.forTenant(ground.attacker.id)
  let kept = db
  await db.connection().execute(async (bound) => {
    kept = bound
    await readNames(bound)
  })
  try {
    await quietly(
      db.transaction().execute(async (trx) => {
        await readNames(trx)
        await kept.insertInto('items').values({ id: 88, name: 'by another request' }).execute()
        throw new Error('this request rolls back')
      }),
    )
    return (await readNames(db)).slice(3)
  } finally {
    await router.close()
  }
}

onEachGround(
  grounds,
  '5: a handle that was kept, while another request has a transaction',
  async (t, ground) => {
    t.same(await writeByKeptHandle(ground), ['by another request'], 'it writes outside of it')
    await ground.refill()
    const unguarded = await withReusedConnections(() => writeByKeptHandle(ground))
    t.same(unguarded, [], 'with connections that are used again, the other request rolls it back')
  },
)

onEachGround(grounds, '5: a transaction that has ended, while another tenant has one', async (t, ground) => {
  const router = ground.router()
  t.teardown(() => router.close())
  const attacker = router.forTenant(ground.attacker.id)
  const ended = await attacker.startTransaction().execute()
  await ended.commit().execute()
  const kept = await attacker.transaction().execute(async (trx) => trx)
  await router
    .forTenant(ground.victim.id)
    .transaction()
    .execute(async (trx) => {
      t.equal((await readNames(trx)).length, 4)
      for (const stale of [ended, kept]) {
        await t.rejects(readNames(stale), /already (committed|rolled back)/)
        await t.rejects(sql`delete from items`.execute(stale), /already (committed|rolled back)/)
      }
      t.equal((await readNames(trx)).length, 4)
    })
})

const KILL = `select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and application_name in ('freehold-router', 'slot') and pid <> pg_backend_pid()`

/** The victim's session is killed inside its transaction; the slot's next transaction is the successor's. */
async function goOnInSlot(ground: LeakGround): Promise<string> {
  const { victim, successor } = ground
  const slot = await ReconnectingSlot.open(victim.home.app)
  const enter = (as: typeof victim) => slot.query('select freehold.enter_writer($1, $2)', [as.id, as.key])
  await slot.query('begin')
  await enter(successor)
  await asSuperuser(victim.home, KILL)
  await slot.replaced
  await slot.query('begin')
  await enter(victim)
  // Whoever has been killed knows nothing of it, and goes on.
  const found = told((await slot.query(`select name from ${tableOf(victim)}`)).rows)
  await slot.query('rollback')
  await slot.close()
  return found
}

onEachGround(grounds, '5: a session that is killed under a transaction', async (t, ground) => {
  const router = ground.router({ maxConnectionsPerDatabase: 2, maxConnectionsPerTenant: 2 })
  t.teardown(() => router.close())
  const { attacker, victim } = ground
  const trx = await router.forTenant(attacker.id).startTransaction().execute()
  await trx.insertInto('items').values({ id: 5, name: 'of a transaction' }).execute()
  await asSuperuser(attacker.home, KILL)
  await t.rejects(readNames(trx), { code: 'database_unavailable' })
  const other = await router.forTenant(victim.id).startTransaction().execute()
  t.equal((await readNames(other)).length, 4, 'the victim is on a connection of its own')
  for (const text of ['select * from items', `insert into items (id, name) values (6, 'x')`]) {
    await t.rejects(
      sql.raw(text).execute(trx),
      { code: 'database_unavailable' },
      'the dead transaction stays dead',
    )
  }
  await other.rollback().execute()
  await quietly(trx.rollback().execute())
  t.same(await readNames(router.forTenant(attacker.id)), ['own-1', 'own-2', 'own-3'])
  t.match(
    await goOnInSlot(ground),
    ground.marker,
    "a handle of the slot goes on in the next one's transaction",
  )
})

/** As pg_dump, migrations and restores begin. */
const PRELUDE = [
  'set statement_timeout = 0',
  'set lock_timeout = 12345',
  'set idle_in_transaction_session_timeout = 0',
  `set client_encoding = 'LATIN1'`,
  'set standard_conforming_strings = off',
  `select pg_catalog.set_config('search_path', '', false)`,
  'set check_function_bodies = false',
  'set xmloption = content',
  'set client_min_messages = error',
  'set row_security = off',
  'set default_transaction_read_only = on',
  `set timezone = 'Pacific/Chatham'`,
  `set datestyle = 'SQL, DMY'`,
  'set role none',
  'select pg_advisory_lock(42)',
  'listen migrations',
  'prepare migration as select 1',
]

/** All that a session has beside its rows. */
const SESSION = `
  select string_agg(state, chr(10) order by state) as state from (
    select name || '=' || setting from pg_settings where name not in ('transaction_read_only', 'in_hot_standby')
    union all select 'prepared ' || name from pg_prepared_statements where from_sql
    union all select 'cursor ' || name from pg_cursors where name <> ''
    union all select 'listens ' || channel from pg_listening_channels() channel
    union all select 'locks ' || objid from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()
      and mode = 'ExclusiveLock'
  ) all_of_it (state)`

async function sessionAfterMigration(ground: LeakGround): Promise<{ before: string; after: string }> {
  const router = ground.router()
  const state = async () => {
    const db = router.forTenant(ground.successor.id)
    const { rows } = await sql.raw<{ state: string }>(SESSION).execute(db)
    return rows[0]?.state ?? ''
  }
  try {
    const before = await state()
    await runInEveryWay(router.forTenant(ground.victim.id), PRELUDE)
    return { before, after: await state() }
  } finally {
    await router.close()
  }
}

onEachGround(grounds, '6: the settings of a migration', async (t, ground) => {
  const { before, after } = await sessionAfterMigration(ground)
  t.match(before, /search_path/)
  t.equal(after, before, 'the next one finds the session as it was')
  const unguarded = await withoutReset(() => sessionAfterMigration(ground))
  for (const left of [
    'row_security=off',
    'listens migrations',
    'locks 42',
    'prepared migration',
    'search_path=',
  ]) {
    t.match(unguarded.after, left, `without DISCARD ALL: ${left}`)
    t.notMatch(after.split('\n'), [left])
  }
})
