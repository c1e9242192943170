import { inspect } from 'node:util'
import {
  beginScoped,
  ConnectionLostError,
  connectClient,
  type Entry,
  EntryRefusedError,
  preparedStatements,
  scopedQuery,
  singleQuery,
  statementName,
  withClient,
} from '@freehold/postgres'
import type pg from 'pg'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { createItemsDatabase, newTenantId, setResident, testEntryKey } from '../../../test/kit/tenants.ts'

const prepared = await startPreparedCluster('scoped-query')
t.teardown(() => prepared.cluster.remove())
const database = await createItemsDatabase(prepared, 'scoped')
const tenantId = newTenantId()
await setResident(database, tenantId)
const entryKey = testEntryKey(database, tenantId)
const reader: Entry = { tenantId, entryKey, mode: 'reader' }
const writer: Entry = { ...reader, mode: 'writer' }
const unprepared = { preparedStatements: false }

async function connect(test: Pick<typeof t, 'teardown'>): Promise<pg.Client> {
  const client = await connectClient(database.app, 'test')
  test.teardown(() => client.end())
  return client
}

const query = (text: string, ...values: unknown[]) => ({ text, values })

t.test('returns what pg returns', async (t) => {
  const client = await connect(t)
  const text = `select $1::int as i, $2::numeric as n, $3::jsonb as j, $4::timestamptz as at, $5::bytea as b,
    $6::text[] as list, null::text as nothing, true as yes`
  const values = [7, '1.50', { a: [1] }, new Date(0), Buffer.from('ab'), ['x', 'y"z']]
  const expected = await client.query(text, values)
  const got = await scopedQuery(client, reader, query(text, ...values))
  t.same(got.rows, expected.rows)
  t.same(got.fields, expected.fields)
  t.equal(got.rowCount, 1)
  t.equal(got.command, 'SELECT')

  const inserted = await scopedQuery(
    client,
    writer,
    query(`insert into items (id, name) values (1, 'a'), (2, 'b') returning id`),
  )
  t.match(inserted, { command: 'INSERT', rowCount: 2, rows: [{ id: 1 }, { id: 2 }] })
  const updated = await scopedQuery(client, writer, query('update items set quantity = 5'))
  t.match(updated, { command: 'UPDATE', rowCount: 2, rows: [], fields: [] })
  t.match(await scopedQuery(client, reader, query('')), { rows: [], rowCount: null })
  t.match(await scopedQuery(client, reader, query('select')), { rows: [{}], rowCount: 1 })
  client.setTypeParser(20, (text) => BigInt(text))
  t.same((await scopedQuery(client, reader, query('select 1::int8 as big'))).rows, [{ big: 1n }])
})

t.test('is one implicit transaction that leaves nothing behind', async (t) => {
  const client = await connect(t)
  const during = await scopedQuery(
    client,
    writer,
    query(`select freehold.current_tenant() as tenant, current_setting('freehold.entry') as key`),
  )
  t.same(during.rows, [{ tenant: tenantId, key: entryKey }])
  const after = await client.query(`select freehold.current_tenant() as tenant,
    current_setting('freehold.entry', true) as key, current_setting('transaction_read_only') as ro,
    (select count(*)::int from pg_locks where locktype = 'advisory') as locks, (select count(*)::int from items) as items`)
  t.same(after.rows, [{ tenant: null, key: '', ro: 'off', locks: 0, items: 0 }])
  t.equal(client.getTransactionStatus(), 'I')
})

t.test('a failing statement undoes everything and leaves the connection usable', async (t) => {
  const client = await connect(t)
  const duplicate = query(`insert into items (id, name) values (50, 'x'), (50, 'y')`)
  for (let attempt = 0; attempt < 2; attempt++) {
    await t.rejects(scopedQuery(client, writer, duplicate), { code: '23505', constraint: 'items_pkey' })
    t.equal(client.getTransactionStatus(), 'I', 'settles only when the connection is ready')
  }
  const found = await scopedQuery(client, reader, query('select id from items where id = 50'))
  t.same(found.rows, [])
  await t.rejects(scopedQuery(client, reader, query(`insert into items (id, name) values (51, 'x')`)), {
    code: '25006',
  })
  const circular: Record<string, unknown> = {}
  circular.self = circular
  await t.rejects(scopedQuery(client, reader, query('select $1::jsonb', circular)), /circular/)
  t.match(await scopedQuery(client, reader, query('select 1 as one')), { rows: [{ one: 1 }] })
  client.setTypeParser(23, () => {
    throw new Error('this parser does not like it')
  })
  await t.rejects(scopedQuery(client, reader, query('select 1 as one')), /does not like/)
  t.equal(client.getTransactionStatus(), 'I')
})

t.test('statement names count as parsed only when the server has said so', async (t) => {
  const client = await connect(t)
  const wrong = query('selekt 1')
  await t.rejects(scopedQuery(client, reader, wrong), { code: '42601' })
  await t.rejects(scopedQuery(client, reader, wrong), { code: '42601' }, 'not "does not exist"')
  const missing = query('select note from notes')
  await t.rejects(scopedQuery(client, reader, missing), { code: '42P01' })
  await withClient(database.owner, 'test', async (owner) => {
    await owner.query(`create table notes as select 'hello' as note`)
    await owner.query('grant select on notes to freehold_app')
  })
  t.same((await scopedQuery(client, reader, missing)).rows, [{ note: 'hello' }])
  t.same((await scopedQuery(client, reader, missing)).rows, [{ note: 'hello' }])

  const refused = query('select 2 as two')
  const stranger: Entry = { ...reader, entryKey: testEntryKey(database, tenantId, 9) }
  await t.rejects(scopedQuery(client, stranger, refused), {
    name: 'EntryRefusedError',
    reason: 'not_resident',
  })
  await t.rejects(scopedQuery(client, { ...stranger, mode: 'writer' }, refused), {
    name: 'EntryRefusedError',
    reason: 'not_resident',
  })
  // A writer holds the lock of the tenant that it names, so its key must be that tenant's.
  const neighbour: Entry = { ...writer, tenantId: newTenantId() }
  await t.rejects(scopedQuery(client, neighbour, refused), {
    name: 'EntryRefusedError',
    reason: 'not_resident',
  })
  t.same((await scopedQuery(client, reader, refused)).rows, [{ two: 2 }])
  const fresh = await connect(t)
  await t.rejects(scopedQuery(fresh, stranger, refused), EntryRefusedError, 'the very first statement')
  t.same((await scopedQuery(fresh, reader, refused)).rows, [{ two: 2 }])

  const names = async () =>
    (await client.query('select name from pg_prepared_statements')).rows.map((row) => row.name)
  t.ok((await names()).includes(statementName(refused.text)))
  const before = (await names()).length
  await scopedQuery(client, reader, refused)
  t.equal((await names()).length, before, 'a known statement is not parsed again')
})

t.test('follows a table that changes, and a statement that is gone', async (t) => {
  const client = await connect(t)
  const all = query('select * from notes')
  t.same((await scopedQuery(client, reader, all)).rows, [{ note: 'hello' }])
  await withClient(database.owner, 'test', (owner) =>
    owner.query('alter table notes add stars int default 5'),
  )
  t.same((await scopedQuery(client, reader, all)).rows, [{ note: 'hello', stars: 5 }])
  await client.query('deallocate all')
  t.same((await scopedQuery(client, reader, all)).rows, [{ note: 'hello', stars: 5 }])
  await client.query('discard all')
  preparedStatements(client).clear()
  t.same((await scopedQuery(client, reader, all)).rows, [{ note: 'hello', stars: 5 }])
})

t.test('knows the columns of what it has prepared, and only of that', async (t) => {
  const client = await connect(t)
  const enter = query('select freehold.enter_reader($1)', entryKey)
  for (let times = 0; times < 3; times++) {
    t.same((await scopedQuery(client, reader, enter)).rows, [{ enter_reader: '' }], 'first and last')
  }
  for (const [columns, row] of [
    ['1 as a', { a: 1 }],
    [`'x' as b, 2 as c`, { b: 'x', c: 2 }],
  ] as const) {
    await client.query(`prepare p as select ${columns}`)
    t.same(
      (await scopedQuery(client, writer, query('execute p'))).rows,
      [row],
      'what the name stands for now',
    )
    t.same((await scopedQuery(client, writer, query('/**/ execute p'))).rows, [row])
    await client.query('deallocate p')
  }
  const first = await scopedQuery(client, reader, query('select 1 as a, null as b'))
  first.fields.length = 0
  const second = await scopedQuery(client, reader, query('select 1 as a, null as b'))
  t.same(second.rows, [{ a: 1, b: null }], 'results share nothing')
  t.equal(second.fields.length, 2)
})

t.test('carries every size of parameter', async (t) => {
  const client = await connect(t)
  const long = 'ü€😀x'.repeat(50_000)
  const bytes = Buffer.alloc(200_000, 7)
  const text = 'select $1::text as long, $2::bytea as bytes, $3::text as empty, $4::text as nothing'
  for (const options of [undefined, unprepared]) {
    const { rows } = await scopedQuery(client, reader, query(text, long, bytes, '', null), options)
    t.ok(rows[0]?.long === long && bytes.equals(rows[0]?.bytes))
    t.match(rows[0], { empty: '', nothing: null })
  }
  const many = Array.from({ length: 70_000 }, () => 1)
  await t.rejects(
    scopedQuery(client, reader, query('select 1', ...many)),
    RangeError,
    'more than the protocol can',
  )
  t.same(
    (await scopedQuery(client, reader, query('select 1 as one'))).rows,
    [{ one: 1 }],
    'nothing of it was sent',
  )
})

t.test('keeps a bounded number of statements, and none when told so', async (t) => {
  const client = await connect(t)
  const count = async () =>
    Number((await client.query('select count(*) from pg_prepared_statements')).rows[0]?.count)
  for (let number = 0; number < 300; number++) {
    await scopedQuery(client, reader, query(`select ${number} as n`))
    if (number % 7 === 0) {
      await t.rejects(scopedQuery(client, reader, query(`select ${number} / 0`)), { code: '22012' })
    }
  }
  t.ok((await count()) <= 128 + 44 + 1, `${await count()} statements`)
  for (let number = 0; number < 300; number++) {
    t.match(await scopedQuery(client, reader, query(`select ${number} as n`)), { rows: [{ n: number }] })
  }
  const bare = await connect(t)
  await scopedQuery(bare, reader, query('select 1'), unprepared)
  await scopedQuery(bare, reader, query('select 1'), unprepared)
  t.equal(Number((await bare.query('select count(*) from pg_prepared_statements')).rows[0]?.count), 0)
})

t.test('only the entry is refused, not a statement that raises the same state', async (t) => {
  const client = await connect(t)
  const forged = query(`do $$ begin raise exception using errcode = 'FH002'; end $$`)
  await t.rejects(scopedQuery(client, writer, forged), { name: 'error', code: 'FH002' })
  for (const [state, mode, reason] of [
    ['fenced', 'writer', 'held'],
    ['sealed', 'writer', 'held'],
    ['frozen', 'writer', 'held'],
    ['standby', 'writer', 'not_resident'],
    ['moved', 'writer', 'not_resident'],
    ['fenced', 'reader', undefined],
    ['sealed', 'reader', undefined],
    ['frozen', 'reader', undefined],
    ['standby', 'reader', 'not_resident'],
    ['moved', 'reader', 'not_resident'],
  ] as const) {
    await setResident(database, tenantId, state)
    const attempt = scopedQuery(client, { ...reader, mode }, query('select 1'))
    if (reason) await t.rejects(attempt, { name: 'EntryRefusedError', reason }, `${mode} while ${state}`)
    else await t.resolves(attempt, `${mode} while ${state}`)
    t.equal(client.getTransactionStatus(), 'I')
  }
  await withClient(database.owner, 'test', (owner) =>
    owner.query(`update freehold.resident set state = 'fenced', fence_token = gen_random_uuid(),
      fence_expires_at = clock_timestamp() - interval '1 ms'`),
  )
  await t.resolves(scopedQuery(client, writer, query('select 1')), 'an expired fence counts as active')
  await setResident(database, tenantId)
  const locker = await connectClient(database.owner, 'test')
  await locker.query('select pg_advisory_lock(freehold.lock_key($1))', [tenantId])
  await t.rejects(
    scopedQuery(client, writer, query('select 1')),
    { name: 'EntryRefusedError', reason: 'held' },
    'the lock is taken',
  )
  await t.resolves(scopedQuery(client, reader, query('select 1')), 'readers take no lock')
  await locker.end()
  for (const wrong of ['', 'guess', testEntryKey(database, newTenantId())]) {
    await t.rejects(scopedQuery(client, { ...writer, entryKey: wrong }, query('select 1')), {
      name: 'EntryRefusedError',
      reason: 'not_resident',
    })
  }
})

t.test('begins a transaction in one round trip', async (t) => {
  const client = await connect(t)
  await beginScoped(client, writer, 'begin isolation level read committed')
  t.equal(client.getTransactionStatus(), 'T')
  const { rows } = await singleQuery(client, query('select freehold.current_tenant() as tenant'))
  t.same(rows, [{ tenant: tenantId }])
  await singleQuery(client, query('commit'))
  t.equal(client.getTransactionStatus(), 'I')
  await t.rejects(
    beginScoped(client, { ...writer, entryKey: testEntryKey(database, tenantId, 3) }, 'begin'),
    {
      name: 'EntryRefusedError',
      reason: 'not_resident',
    },
  )
  t.equal(client.getTransactionStatus(), 'E', 'to be rolled back by the caller')
  await singleQuery(client, query('rollback'))
  t.equal(client.getTransactionStatus(), 'I')
})

t.test('refuses what it cannot do, and stays in step', async (t) => {
  const client = await connect(t)
  await t.rejects(scopedQuery(client, writer, query('select 1; select 2')), { code: '42601' })
  await withClient(database.owner, 'test', async (owner) => {
    await owner.query('create table inbox (line text)')
    await owner.query('grant insert, select on inbox to freehold_app')
  })
  await t.rejects(scopedQuery(client, writer, query('copy inbox from stdin')), { code: '57014' })
  t.equal(client.getTransactionStatus(), 'I')
  t.match(await scopedQuery(client, writer, query('copy inbox to stdout')), { rows: [] })
  t.match(await scopedQuery(client, reader, query('select 3 as three')), { rows: [{ three: 3 }] })
})

t.test('says what is known when the connection breaks', async (t) => {
  const pid = (client: pg.Client) =>
    client.query('select pg_backend_pid() as pid').then((result) => Number(result.rows[0]?.pid))
  const terminate = (backend: number) =>
    withClient(database.superuser, 'test', (client) =>
      client.query('select pg_terminate_backend($1, 5000)', [backend]),
    )

  const busy = await connect(t)
  const busyPid = await pid(busy)
  const sleeping = t.rejects(
    scopedQuery(busy, writer, query('select pg_sleep(20)')),
    { name: 'ConnectionLostError', executed: 'no' },
    'the server says farewell before the statement is done: nothing was committed',
  )
  await terminate(busyPid)
  await sleeping
  await t.rejects(
    scopedQuery(busy, writer, query('select 1')),
    { name: 'ConnectionLostError', executed: 'no' },
    'never sent',
  )

  const early = await connect(t)
  const beforeTheTurnEnds = scopedQuery(early, writer, query('select 1'))
  early.connection.stream.destroy()
  await t.rejects(
    beforeTheTurnEnds,
    { name: 'ConnectionLostError', executed: 'no' },
    'broken before it was sent, which is when the turn of the event loop ends',
  )

  const cut = await connect(t)
  const cutting = t.rejects(
    scopedQuery(cut, writer, query('select pg_sleep(0.3)')),
    { name: 'ConnectionLostError', executed: 'unknown' },
    'no farewell: nobody knows',
  )
  setTimeout(() => cut.connection.stream.destroy(), 50)
  await cutting

  const alone = await connect(t)
  const alonePid = await pid(alone)
  const single = t.rejects(singleQuery(alone, query('select pg_sleep(20)')), {
    name: 'ConnectionLostError',
    executed: 'unknown',
  })
  await terminate(alonePid)
  await single
  t.ok(new ConnectionLostError('no', undefined) instanceof Error)
})

t.test('a refused entry does not tell its key, whatever the server tells of parameters', async (t) => {
  const client = await connect(t)
  await client.query('set log_parameter_max_length_on_error = -1')
  const stranger: Entry = { ...reader, entryKey: testEntryKey(database, tenantId, 9) }
  const enter = client.query('select freehold.enter_reader($1)', [stranger.entryKey])
  const told = await enter.catch((error: unknown) => error)
  t.match(inspect(told, { depth: 9 }), stranger.entryKey, 'the server does')
  for (const attempt of [
    () => scopedQuery(client, stranger, query('select 1')),
    () => scopedQuery(client, { ...stranger, mode: 'writer' }, query('select 1')),
    () => beginScoped(client, stranger, 'begin'),
  ]) {
    const refused = await attempt().catch((error: unknown) => error)
    t.match(refused, { name: 'EntryRefusedError', cause: { code: 'FH001', where: undefined } })
    t.notMatch(inspect(refused, { depth: 9, showHidden: true }), stranger.entryKey)
    await client.query('rollback')
  }
  await client.query(`set statement_timeout = '100ms'`)
  const blocker = await connectClient(database.owner, 'test')
  t.teardown(() => blocker.end())
  await blocker.query('begin; lock table freehold.resident')
  const failed = await scopedQuery(client, reader, query('select 1')).catch((error: unknown) => error)
  t.match(failed, { code: '57014' }, 'an entry that fails otherwise')
  t.notMatch(inspect(failed, { depth: 9, showHidden: true }), entryKey)
})
