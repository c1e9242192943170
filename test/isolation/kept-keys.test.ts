// A key that SQL has kept, and sets again outside of an entry: what a session gets by it that has taken no lock and was asked for no
// mark. By the table in docs/protocol.md, and each guard taken out as well.

import type { TenantId } from '@freehold/contract'
import { connectClient, withClient } from '@freehold/postgres'
import type pg from 'pg'
import t, { type Test } from 'tap'
import { startPreparedCluster } from '../kit/control-plane.ts'
import {
  createItemsDatabase,
  newTenantId,
  type ResidencyState,
  setResident,
  type TestDatabase,
  testEntryKey,
} from '../kit/tenants.ts'

t.setTimeout(600_000)
const prepared = await startPreparedCluster('kept-keys')
t.teardown(() => prepared.cluster.remove())
const database = await createItemsDatabase(prepared, 'kept')
const mover = prepared.as('freehold_mover', 'kept')
await withClient(database.owner, 'test', (client) =>
  client.query(`
    create view items_of_owner as select * from items;
    grant select, insert, update, delete on items_of_owner to freehold_app;
    create function insert_as_owner(new_id integer) returns void language sql security definer
      set search_path = public as 'insert into items (tenant_id, id, name)
        select entered.tenant_id::uuid, new_id, $$by the owner$$ from freehold.entered'`),
)

/** A tenant with three rows. */
async function newTenant(state: ResidencyState = 'active'): Promise<TenantId> {
  const tenant = newTenantId()
  await setResident(database, tenant, state)
  await withClient(database.superuser, 'test', (client) =>
    client.query(`insert into items select $1, n, 'old' from generate_series(1, 3) n`, [tenant]),
  )
  return tenant
}

/** What stands in the table, seen past row security. */
async function rowsOf(tenant: TenantId): Promise<string> {
  const { rows } = await withClient(database.superuser, 'test', (client) =>
    client.query<{ all: string }>(
      `select string_agg(id || ' ' || name, ', ' order by id) as all from items where tenant_id = $1`,
      [tenant],
    ),
  )
  return rows[0]?.all ?? ''
}
const OLD = '1 old, 2 old, 3 old'

/** A session that holds a key for as long as it lasts, as no entry leaves it. */
async function keep(t: Test, tenant: TenantId, as = database.app): Promise<pg.Client> {
  const client = await connectClient(as, 'kept-key')
  t.teardown(() => client.end())
  await client.query(
    `select set_config('freehold.entry', $1, false), set_config('freehold.tenant_id', $2, false)`,
    [testEntryKey(database, tenant), tenant],
  )
  return client
}

/** @returns the SQLSTATE with which statements are refused, or how many rows the last of them has met. */
async function outcome(client: pg.Client, ...statements: string[]): Promise<string> {
  try {
    let met = 0
    for (const text of statements) met = (await client.query(text)).rowCount ?? 0
    return String(met)
  } catch (error) {
    return String(Object(error).code)
  } finally {
    await client.query('rollback')
  }
}

const WRITES = {
  insert: `insert into items (id, name) values (9, 'new')`,
  upsert: `insert into items (id, name) values (1, 'new') on conflict (tenant_id, id) do update set name = 'new'`,
  update: `update items set name = 'new' where id = 1`,
  delete: 'delete from items where id = 1',
  merge: `merge into items using (values (1)) new (id) on items.id = new.id when matched then delete`,
  'insert through a view of the owner': `insert into items_of_owner (id, name, tenant_id)
    select 9, 'new', tenant_id::uuid from freehold.entered`,
  'delete through a view of the owner': 'delete from items_of_owner where id = 1',
  'insert by a function of the owner': 'select insert_as_owner(9)',
} as const

const READ = 'select from items'

/** What the lock of a switch, held by another session, does to them stands under `drained`. */
const EXPECTED: Record<ResidencyState | 'drained', { readonly write: string; readonly read: string }> = {
  standby: { write: 'FH001', read: 'FH001' },
  frozen: { write: 'FH002', read: '3' },
  active: { write: '1', read: '3' },
  fenced: { write: '1', read: '3' },
  drained: { write: 'FH002', read: '3' },
  sealed: { write: 'FH002', read: '3' },
  // Nobody can tell such a session from an entered reader's until the tenant has been gone for longer than its transaction lasts.
  moved: { write: 'FH001', read: '3' },
}

for (const [state, { write, read }] of Object.entries(EXPECTED)) {
  t.test(`a kept key where the mark says ${state}`, async (t) => {
    const tenant = await newTenant()
    await setResident(database, tenant, state === 'drained' ? 'fenced' : (state as ResidencyState))
    const drain = await connectClient(database.superuser, 'drain')
    t.teardown(() => drain.end())
    if (state === 'drained') await drain.query('select pg_advisory_lock(freehold.lock_key($1))', [tenant])
    const client = await keep(t, tenant)
    t.equal(await outcome(client, READ), read, 'read')
    for (const [name, text] of Object.entries(WRITES)) {
      t.equal(await outcome(client, 'begin', text), write, name)
      t.equal(
        await outcome(client, 'begin isolation level repeatable read', text),
        write,
        `${name}, with one snapshot`,
      )
    }
    t.equal(await rowsOf(tenant), OLD)
  })
}

t.test('a kept key of nobody', async (t) => {
  const client = await keep(t, newTenantId())
  t.equal(await outcome(client, READ), '0')
  t.equal(await outcome(client, WRITES.update), '0')
  t.equal(await outcome(client, WRITES.insert), '42501')
})

const isLockFree = async (tenant: TenantId) =>
  withClient(database.superuser, 'test', async (client) => {
    const { rows } = await client.query<{ free: boolean }>(
      'select pg_try_advisory_lock(freehold.lock_key($1)) as free',
      [tenant],
    )
    return rows[0]?.free
  })

t.test('a switch waits for who writes by a kept key, from its first write to its end', async (t) => {
  const tenant = await newTenant()
  const client = await keep(t, tenant)
  for (const [name, text] of Object.entries(WRITES)) {
    await client.query('begin')
    await client.query(READ)
    t.equal(await isLockFree(tenant), true, 'who reads is not waited for')
    await client.query('savepoint taken_back')
    await client.query(text)
    t.equal(await isLockFree(tenant), false, name)
    await client.query('rollback to taken_back')
    t.equal(await isLockFree(tenant), true, 'what is taken back is not waited for')
    await client.query(text)
    await client.query('rollback')
    t.equal(await isLockFree(tenant), true)
  }
})

/** As by a worker: an upsert of the test kit would count as a change of the key. */
const mark = (tenant: TenantId, set: string) =>
  withClient(database.owner, 'test', (client) =>
    client.query(`update freehold.resident set ${set} where tenant_id = $1`, [tenant]),
  )
const fence = (tenant: TenantId) =>
  mark(
    tenant,
    `state = 'fenced', fence_token = gen_random_uuid(), fence_expires_at = clock_timestamp() + interval '1 minute'`,
  )
const unfence = (tenant: TenantId) =>
  mark(tenant, `state = 'active', fence_token = null, fence_expires_at = null`)
/** As the engine does after a switch: who begins from here on has not entered. */
const leave = (tenant: TenantId) => mark(tenant, 'left_at = clock_timestamp()')

/** As at every attempt to switch that comes to nothing. */
async function callOffFence(tenant: TenantId): Promise<void> {
  await fence(tenant)
  await unfence(tenant)
}

/** A mark goes all the way of a switch, as by a worker: what there is to be waited for is waited for under the lock. */
async function switchAway(tenant: TenantId, until: 'sealed' | 'moved' = 'sealed'): Promise<void> {
  await fence(tenant)
  await withClient(database.owner, 'test', async (client) => {
    await client.query('select pg_advisory_lock(freehold.lock_key($1))', [tenant])
    await mark(tenant, `state = 'sealed', fence_expires_at = null`)
  })
  if (until === 'moved') await mark(tenant, `state = 'moved', fence_token = null`)
}

const GATE = 424_242
/** Statements that have begun, and so have their snapshot, and then wait before they write. */
const BEGUN = {
  insert: `insert into items (id, name) select 9, 'new' || pg_advisory_xact_lock_shared(${GATE})`,
  update: `update items set name = 'new' || pg_advisory_xact_lock_shared(${GATE}) where id = 1`,
  // What nobody reads from is done last, by the snapshot of the statement.
  delete: `with gone as (delete from items where id = 1) select pg_advisory_xact_lock_shared(${GATE})`,
} as const

/** @returns how a statement ends that has begun before a switch and goes on after it. */
async function goesOn(
  t: Test,
  text: string,
  {
    begin = 'begin',
    until = 'sealed',
    mark = 'new',
  }: { begin?: string; until?: 'sealed' | 'moved'; mark?: 'new' | 'changed before' } = {},
): Promise<{ ended: string; rows: string }> {
  const tenant = await newTenant()
  if (mark === 'changed before') await callOffFence(tenant)
  const client = await keep(t, tenant)
  const ended = await withClient(database.superuser, 'gate', async (gate) => {
    await gate.query(`select pg_advisory_lock(${GATE})`)
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    const going = outcome(client, begin, text, 'commit')
    for (let waits = 0; waits === 0; ) {
      const waiting = await gate.query('select from pg_locks where pid = $1 and not granted', [rows[0]?.pid])
      waits = waiting.rowCount ?? 0
    }
    await switchAway(tenant, until)
    await gate.query(`select pg_advisory_unlock(${GATE})`)
    return going
  })
  return { ended, rows: await rowsOf(tenant) }
}

for (const [name, text] of Object.entries(BEGUN)) {
  t.test(`a switch falls between the snapshot of a kept key's ${name} and its write`, async (t) => {
    t.same(await goesOn(t, text), { ended: 'FH002', rows: OLD })
    t.same(await goesOn(t, text, { until: 'moved' }), { ended: 'FH001', rows: OLD })
    const begin = 'begin isolation level repeatable read'
    t.same(await goesOn(t, text, { begin }), { ended: '40001', rows: OLD }, 'with one snapshot')
    const mark = 'changed before'
    t.same(await goesOn(t, text, { mark }), { ended: 'FH002', rows: OLD }, mark)
    t.same(await goesOn(t, text, { begin, mark }), { ended: '40001', rows: OLD }, mark)
  })
}

t.test('a lock that is taken after the only snapshot, and after the switch', async (t) => {
  for (const level of ['repeatable read', 'serializable']) {
    for (const entry of ['none', 'entered'] as const) {
      const tenant = await newTenant()
      const client = await keep(t, tenant)
      await client.query(`begin isolation level ${level}`)
      await client.query(READ)
      await switchAway(tenant, 'moved')
      await client.query('select pg_try_advisory_lock_shared(freehold.lock_key($1))', [tenant])
      // The entry is talked into it by a lock that is held too late; the write is not.
      if (entry === 'entered')
        await client.query('select freehold.enter_writer($1, $2)', [tenant, testEntryKey(database, tenant)])
      t.equal(await outcome(client, WRITES.update, 'commit'), '40001', `${level}, ${entry}`)
      t.equal(await rowsOf(tenant), OLD)
    }
  }
})

/** Which version of a mark is there, and who has locked it. */
async function versionOf(tenant: TenantId): Promise<{ xmin: string; xmax: string } | undefined> {
  const { rows } = await withClient(database.superuser, 'test', (client) =>
    client.query<{ xmin: string; xmax: string }>(
      'select xmin::text, xmax::text from freehold.resident where tenant_id = $1',
      [tenant],
    ),
  )
  return rows[0]
}

/** Enters, writes, and commits. */
async function writeEntered(tenant: TenantId, level: string): Promise<string> {
  return withClient(database.app, 'test', async (client) => {
    await client.query('select pg_advisory_lock_shared(freehold.lock_key($1))', [tenant])
    await client.query(`begin isolation level ${level}`)
    await client.query('select freehold.enter_writer($1, $2)', [tenant, testEntryKey(database, tenant)])
    return outcome(client, WRITES.update, 'commit')
  })
}

const LEVELS = ['read committed', 'repeatable read', 'serializable'] as const

t.test('a mark that was changed before is looked at once, and not locked', async (t) => {
  const tenant = await newTenant()
  await callOffFence(tenant)
  const changed = await versionOf(tenant)
  const noSecondLook = `$&\n  raise exception using errcode = 'XX000', message = 'a second look';`
  await withoutPart('freehold.late_writer(text,bytea)', /\nbegin\b/, noSecondLook, async () => {
    for (const level of LEVELS) t.equal(await writeEntered(tenant, level), '0', level)
    t.equal(await rowsOf(tenant), '1 new, 2 old, 3 old')
    t.same(await versionOf(tenant), changed)
    await without(
      `create trigger too_early before update on freehold.resident for each row when (false)
         execute function freehold.announce_resident()`,
      'drop trigger too_early on freehold.resident',
      () => callOffFence(tenant),
    )
    for (const level of LEVELS)
      t.equal(await writeEntered(tenant, level), 'XX000', `${level}, where a trigger comes before the UPDATE`)
  })
  const looksReplaced = await versionOf(tenant)
  t.equal(await writeEntered(tenant, 'read committed'), '0')
  t.same(await versionOf(tenant), looksReplaced)
  t.equal(await writeEntered(tenant, 'repeatable read'), '0')
  t.not((await versionOf(tenant))?.xmax, looksReplaced?.xmax, 'and who has one snapshot locks it')
  await callOffFence(tenant)
  t.equal((await versionOf(tenant))?.xmax, '0', 'until it is changed again')
})

t.test('who has entered writes on under the fence', async (t) => {
  for (const level of LEVELS) {
    const tenant = await newTenant()
    await withClient(database.app, 'test', async (client) => {
      await client.query('select pg_advisory_lock_shared(freehold.lock_key($1))', [tenant])
      await client.query(`begin isolation level ${level}`)
      await client.query('select freehold.enter_writer($1, $2)', [tenant, testEntryKey(database, tenant)])
      for (const [name, text] of Object.entries(WRITES)) {
        await client.query('savepoint before')
        await fence(tenant)
        t.equal((await client.query(text)).rowCount, 1, `${level}: ${name}, fenced`)
        await client.query('rollback to before')
        await unfence(tenant)
        t.equal((await client.query(text)).rowCount, 1, `${level}: ${name}, called off`)
        await client.query('rollback to before')
      }
      await client.query(WRITES.update)
      await client.query('commit')
    })
    t.equal(await rowsOf(tenant), '1 new, 2 old, 3 old', level)
  }
})

t.test('what is read where the tenant was', async (t) => {
  const tenant = await newTenant()
  const entered = await connectClient(database.app, 'entered')
  t.teardown(() => entered.end())
  await entered.query('begin')
  await entered.query('select freehold.enter_reader($1)', [testEntryKey(database, tenant)])
  const kept = await keep(t, tenant)
  const began = await keep(t, tenant)
  await began.query('begin')
  await switchAway(tenant, 'moved')
  await leave(tenant)
  t.equal((await entered.query(READ)).rowCount, 3, 'who entered before reads to its end')
  t.equal((await began.query(READ)).rowCount, 3, 'and so does who could have')
  await entered.query('commit')
  await began.query('commit')
  for (const client of [kept, began, await keep(t, tenant)]) {
    t.equal(await outcome(client, READ), 'FH001')
    t.equal(await outcome(client, 'select freehold.current_tenant()'), 'FH001')
    t.equal(await outcome(client, 'begin isolation level repeatable read', READ), 'FH001')
  }
  const other = await newTenant()
  t.equal(await outcome(await keep(t, other), READ), '3', 'others are not concerned')
})

t.test('the mover works where nobody may', async (t) => {
  for (const state of ['standby', 'frozen', 'sealed', 'moved'] as const) {
    const tenant = await newTenant(state)
    if (state === 'moved') await leave(tenant)
    // In one database with both homes the switch holds the lock that they share.
    const drain = await connectClient(database.superuser, 'drain')
    t.teardown(() => drain.end())
    await drain.query('select pg_advisory_lock(freehold.lock_key($1))', [tenant])
    const client = await keep(t, tenant, mover)
    for (const name of ['insert', 'upsert', 'update', 'delete'] as const) {
      t.equal(await outcome(client, 'begin', READ, WRITES[name]), '1', `${state}: ${name}`)
    }
  }
})

/** Runs SQL as the owner, and what undoes it when the work is done. */
async function without<T>(change: string, undo: string, work: () => Promise<T>): Promise<T> {
  const run = (text: string) => withClient(database.owner, 'test', (client) => client.query(text))
  await run(change)
  try {
    return await work()
  } finally {
    await run(undo)
  }
}

async function definitionOf(of: TestDatabase, object: string): Promise<string> {
  const view = `'create or replace view ' || $1 || ' with (security_barrier) as ' || pg_get_viewdef($1::regclass)`
  const text = object.includes('(') ? 'pg_get_functiondef($1::regprocedure)' : view
  return withClient(of.owner, 'test', async (client) => {
    const { rows } = await client.query<{ text: string }>(`select ${text} as text`, [object])
    return rows[0]?.text ?? ''
  })
}

/** Exchanges a part of a view or function. */
async function withoutPart<T>(
  object: string,
  part: RegExp,
  instead: string,
  work: () => Promise<T>,
): Promise<T> {
  const original = await definitionOf(database, object)
  const changed = original.replace(part, instead)
  if (changed === original) throw new Error(`${object} has no ${part}`)
  return without(changed, original, work)
}

t.test('each guard taken out lets something through', async (t) => {
  const afterSeal = async (text: string) => {
    const tenant = await newTenant('sealed')
    return outcome(await keep(t, tenant), 'begin', text)
  }
  const trusting = '(tenant_id = (select tenant_id from freehold.entered)::uuid)'
  const original = `(tenant_id = (select case when schema_name is null then tenant_id end as tenant_id from freehold.entered_to_write)::uuid)`
  await without(
    `alter policy freehold_tenant on items with check ${trusting}`,
    `alter policy freehold_tenant on items with check ${original}`,
    async () => {
      t.equal(await afterSeal(WRITES.insert), '1', 'a policy that asks for no lock')
      t.equal(await afterSeal(WRITES.update), '1')
    },
  )
  await without(
    'drop policy freehold_delete on items',
    `create policy freehold_delete on items as restrictive for delete using ${original}`,
    async () => t.equal(await afterSeal(WRITES.delete), '1', 'no policy for DELETE'),
  )
  await withoutPart('freehold.entered_to_write', /\((resident\.)?xmax = '0'::xid\)/, 'true', async () => {
    t.match(
      await goesOn(t, BEGUN.insert),
      { ended: '0', rows: /9 new/ },
      'no look at what has replaced the mark',
    )
  })
  const oneSnapshot = { begin: 'begin isolation level repeatable read' }
  await withoutPart(
    'freehold.late_writer(text,bytea)',
    /if is_replaced/,
    'if false and is_replaced',
    async () => {
      t.match(await goesOn(t, BEGUN.insert, oneSnapshot), { rows: /9 new/ }, 'one snapshot is believed')
    },
  )
  await without(
    'drop index freehold.resident_is_open',
    'create unique index resident_is_open on freehold.resident (is_open, entry_digest)',
    async () => {
      t.match(await goesOn(t, BEGUN.insert, oneSnapshot), { rows: /9 new/ }, 'the seal changes no key')
    },
  )
  await withoutPart('freehold.late_writer(text,bytea)', / for key share/, ' for share', async () => {
    const tenant = await newTenant()
    const client = await connectClient(database.app, 'test')
    t.teardown(() => client.end())
    await client.query('select pg_advisory_lock_shared(freehold.lock_key($1))', [tenant])
    await client.query('begin isolation level repeatable read')
    await client.query('select freehold.enter_writer($1, $2)', [tenant, testEntryKey(database, tenant)])
    await fence(tenant)
    t.equal(await outcome(client, WRITES.update), '40001', 'a fence fails who has entered')
  })
  await withoutPart(
    'freehold.late_reader(text,freehold.residency_state,timestamptz)',
    /left_at operator\(pg_catalog\.>\)/,
    'clock_timestamp() operator(pg_catalog.>)',
    async () => {
      const tenant = await newTenant('moved')
      await leave(tenant)
      t.equal(await outcome(await keep(t, tenant), READ), '3', 'a read of what was')
    },
  )
  t.equal(await afterSeal(WRITES.insert), 'FH002', 'and all are back')
  t.equal(await afterSeal(WRITES.delete), 'FH002')
  t.same(await goesOn(t, BEGUN.insert, oneSnapshot), { ended: '40001', rows: OLD })
})
