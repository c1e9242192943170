import { type AddressInfo, connect as connectSocket, createServer, type Socket } from 'node:net'
import {
  ConnectionLostError,
  clientConfig,
  connectClient,
  copyIn,
  copyOut,
  type Entry,
  preparedStatements,
  runPipeline,
  scopedQuery,
  statementName,
  withClient,
} from '@freehold/postgres'
import pg from 'pg'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { createItemsDatabase, newTenantId, setResident, testEntryKey } from '../../../test/kit/tenants.ts'

const prepared = await startPreparedCluster('pipeline')
t.teardown(() => prepared.cluster.remove())
const database = await createItemsDatabase(prepared, 'pipeline')
const tenantId = newTenantId()
await setResident(database, tenantId)
const writer: Entry = { tenantId, entryKey: testEntryKey(database, tenantId), mode: 'writer' }
const reader: Entry = { ...writer, mode: 'reader' }

async function connect(test: Pick<typeof t, 'teardown'>): Promise<pg.Client> {
  const client = await connectClient(database.app, 'test')
  test.teardown(() => client.end())
  return client
}

const query = (text: string, ...values: unknown[]) => ({ text, values })

/** Passes on what it is told to, and then breaks the connection. */
interface Scissors {
  /** Bytes that still pass, to the server or from it; then the connection breaks. */
  allow(direction: 'up' | 'down', bytes: number): void
  /** What has passed since. */
  readonly passed: Record<'up' | 'down', number>
  readonly port: number
  close(): void
}

async function startScissors(): Promise<Scissors> {
  const left = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY }
  const passed = { up: 0, down: 0 }
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connectSocket(database.app.port, database.app.host)
    for (const [from, to, direction] of [
      [client, upstream, 'up'],
      [upstream, client, 'down'],
    ] as const) {
      sockets.add(from)
      from.setNoDelay(true)
      from.on('error', () => undefined)
      from.on('close', () => to.destroy())
      from.on('data', (data: Buffer) => {
        const part = data.subarray(0, Math.max(0, left[direction]))
        left[direction] -= data.length
        passed[direction] += data.length
        if (left[direction] >= 0) to.write(part)
        else to.write(part, () => [client, upstream].map((socket) => socket.end()))
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    passed,
    allow(direction, bytes) {
      left.up = left.down = Number.POSITIVE_INFINITY
      left[direction] = bytes
      passed.up = passed.down = 0
    },
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

t.test(
  'wherever the connection is cut, nobody is told that a write has not happened when it has',
  async (t) => {
    const scissors = await startScissors()
    t.teardown(() => scissors.close())
    const address = { ...database.app, host: '127.0.0.1', port: scissors.port }
    let id = 0
    const insert = async (direction: 'up' | 'down', bytes: number) => {
      const client = new pg.Client(clientConfig(address, 'test'))
      client.on('error', () => undefined)
      scissors.allow('up', Number.POSITIVE_INFINITY)
      await client.connect()
      scissors.allow(direction, bytes)
      const statement = query(`insert into items (id, name) values ($1, 'x') returning id, name`, ++id)
      try {
        return await scopedQuery(client, writer, statement).then(
          () => 'done' as const,
          (error: unknown) => error,
        )
      } finally {
        await client.end().catch(() => undefined)
      }
    }
    const there = () =>
      withClient(database.superuser, 'test', async (client) => {
        // As soon as the server has noticed that its client is gone.
        const settled = `select from pg_locks where locktype = 'advisory'`
        while ((await client.query(settled)).rowCount) await new Promise((resolve) => setTimeout(resolve, 5))
        return (await client.query('select from items where id = $1', [id])).rowCount === 1
      })
    t.equal(await insert('up', Number.POSITIVE_INFINITY), 'done')
    const whole = { ...scissors.passed }
    const seen = new Set<string>()
    for (const direction of ['up', 'down'] as const) {
      // Every byte near the ends, where the messages are short, and every seventh between.
      for (
        let bytes = 0;
        bytes < whole[direction];
        bytes += bytes < 20 || bytes > whole[direction] - 40 ? 1 : 7
      ) {
        const outcome = await insert(direction, bytes)
        const happened = await there()
        const lost = outcome instanceof ConnectionLostError ? outcome.executed : undefined
        const told = lost === 'unknown' || (lost === 'no' && !happened) || (outcome === 'done' && happened)
        if (!told) t.fail(`${direction} ${bytes}: ${outcome}, ${happened}`)
        seen.add(`${direction} ${happened}`)
      }
    }
    t.ok(seen.has('up false') && seen.has('down true'), 'both outcomes were met')
  },
)

t.test('notices, notifications and changed parameters in between', async (t) => {
  const client = await connect(t)
  await client.query('listen chatter')
  await withClient(database.owner, 'test', (owner) =>
    owner.query(`create function chatter(n int) returns setof int language plpgsql as $$ begin
      for i in 1..n loop raise notice 'notice %', i; perform pg_notify('chatter', i::text);
        perform set_config('timezone', 'Etc/GMT-' || (i % 12), false); return next i; end loop; end $$`),
  )
  const heard = { notices: 0, notifications: 0 }
  client.on('notice', () => heard.notices++)
  client.on('notification', () => heard.notifications++)
  const { rows } = await scopedQuery(client, writer, query('select sum(n)::int as sum from chatter(300) n'))
  t.same(rows, [{ sum: 45_150 }])
  t.match(await scopedQuery(client, reader, query('select 1 as one')), { rows: [{ one: 1 }] })
  t.same(heard, { notices: 300, notifications: 300 })
})

t.test('a parameter of many megabytes, and an answer', async (t) => {
  const client = await connect(t)
  const text = 'ü'.repeat(10_000_000)
  const { rows } = await scopedQuery(
    client,
    reader,
    query('select $1::text as text, octet_length($1) as length', text),
  )
  t.equal(rows[0]?.length, 20_000_000)
  t.ok(rows[0]?.text === text)
})

t.test('a long text is not kept', async (t) => {
  const client = await connect(t)
  const long = `select sum(n)::int as sum from unnest(array[${Array.from({ length: 5_000 }, (_, n) => n).join(', ')}]) n`
  for (let times = 0; times < 2; times++) {
    t.match(await scopedQuery(client, reader, query(long)), { rows: [{ sum: 12_497_500 }] })
  }
  const kept = await client.query('select from pg_prepared_statements where length(statement) > 20000')
  t.equal(kept.rowCount, 0)
  t.match(await runPipeline(client, [query(long)], { preparedStatements: true }), { rowCount: 1 })
})

t.test('what is to be closed is closed, also when something cannot be sent in between', async (t) => {
  const client = await connect(t)
  const statements = preparedStatements(client)
  for (let n = 0; n < 200; n++) {
    await scopedQuery(client, reader, query(`select ${n} as evicted`))
    // A million parameters: more than the protocol can carry.
    if (n % 10 === 0) {
      await t.rejects(
        scopedQuery(client, reader, query('select 1', ...new Array(70_000).fill(1))),
        RangeError,
      )
    }
  }
  await scopedQuery(client, reader, query('select'))
  const { rows } = await client.query<{ name: string }>('select name from pg_prepared_statements')
  const unknown = rows.filter(({ name }) => statements.columns(name) === undefined)
  t.ok(unknown.length <= 1, `${unknown.length} statements are kept by the server only`)
  t.ok(statements.evicted.length <= 1)
  t.ok(statements.columns(statementName('select 199 as evicted')) !== undefined)
})

t.test('an error anywhere in a pipeline', async (t) => {
  const client = await connect(t)
  const good = query('select 1 as one')
  const bad = query('select 1 / 0')
  for (const at of [0, 1, 2, 3]) {
    const steps = [0, 1, 2, 3].map((step) => (step === at ? bad : good))
    for (const preparedStatements of [true, false]) {
      await t.rejects(runPipeline(client, steps, { preparedStatements }), {
        name: 'PipelineStepError',
        step: at,
      })
      t.equal(client.getTransactionStatus(), 'I')
    }
  }
  t.match(await runPipeline(client, [good, good], { preparedStatements: true }), { rows: [{ one: 1 }] })
})

t.test('copies that go wrong leave the connection usable', async (t) => {
  const client = await connect(t)
  await withClient(database.owner, 'test', (owner) =>
    owner.query('create table box (line text); grant select, insert on box to freehold_app'),
  )
  t.equal(await copyIn(client, 'copy box from stdin', [Buffer.from('a\n'), Buffer.from('b\nc\n')]), 3)
  await t.rejects(copyIn(client, 'copy nowhere from stdin', [Buffer.from('a\n')]), { code: '42P01' })
  await t.rejects(copyIn(client, 'copy box (nothing) from stdin', [Buffer.from('a\n')]), { code: '42703' })
  await t.rejects(copyIn(client, 'copy box from stdin', [Buffer.from('a\tb\n')]), { code: '22P04' })
  const failing = function* () {
    yield Buffer.from('a\n')
    throw new Error('of the source')
  }
  await t.rejects(copyIn(client, 'copy box from stdin', failing()), /of the source/)
  let returned = false
  const endless = async function* () {
    try {
      for (;;) yield Buffer.from('too\tmany\tcolumns\n'.repeat(1_000))
    } finally {
      returned = true
    }
  }
  await t.rejects(copyIn(client, 'copy box from stdin', endless()), { code: '22P04' })
  t.ok(returned, 'the source is closed')
  await t.rejects(
    copyIn(client, 'copy box from stdin', endless(), AbortSignal.abort(new Error('at once'))),
    /at once|22P04/,
  )
  const idle = async function* () {
    for (;;) yield Buffer.alloc(0)
  }
  await t.rejects(
    copyIn(client, 'copy box from stdin', idle(), AbortSignal.timeout(100)),
    { name: 'TimeoutError' },
    'a source that is never done leaves room for everything else',
  )
  t.equal((await client.query('select from box')).rowCount, 3)
  const read = async (text: string) => {
    const chunks = []
    for await (const chunk of copyOut(client, text)) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }
  t.equal(await read('copy box to stdout'), 'a\nb\nc\n')
  t.equal(await read('copy (select from box where false) to stdout'), '')
  t.equal(
    (await read(`copy (select repeat('x', 200000) from generate_series(1, 5)) to stdout`)).length,
    1_000_005,
  )
  await t.rejects(read('copy nowhere to stdout'), { code: '42P01' })
  await t.rejects(read('copy (select 1 / (5 - n) from generate_series(1, 10) n) to stdout'), {
    code: '22012',
  })
  await t.rejects(read('copy box to stdout; select 1'), { code: '42601' })
  t.match(await client.query('select 1 as one'), { rows: [{ one: 1 }] })
})
