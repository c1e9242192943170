import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  connectClient,
  type DatabaseAddress,
  deriveEntryKey,
  entryDigest,
  withClient,
} from '@freehold/postgres'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { startCuttableProxy } from '../../../test/kit/cuttable-proxy.ts'
import { asSuperuser, createDataDatabase } from '../../../test/kit/databases.ts'
import { rowHashes } from '../src/database/checksum.ts'
import { asTenant, type TenantScope } from '../src/database/entered.ts'
import { pairTables, readTables, type TableShape } from '../src/database/tables.ts'
import { claimTarget } from '../src/database/target-claim.ts'
import { catchUp } from '../src/move/catch-up.ts'
import { compareRows, type DifferentRows } from '../src/move/compare.ts'
import type { Applier, ChangedRows, StreamRoute } from '../src/stream/change-stream.ts'
import { logStream } from '../src/stream/log-stream.ts'

/** One cluster, two databases: changes of `source` are applied to `target`. */
const on = await startPreparedCluster('applier')
t.teardown(() => on.cluster.remove())
await createDataDatabase(on.cluster, on.passwords, 'source')
await createDataDatabase(on.cluster, on.passwords, 'target')

const tenantId = randomUUID()
const entryKey = deriveEntryKey('x'.repeat(32), { tenantId, dataDatabaseId: randomUUID(), epoch: 1 })
const [source, target] = [on.as('freehold_mover', 'source'), on.as('freehold_mover', 'target')]
for (const database of ['source', 'target']) {
  await withClient(asSuperuser(on.cluster, database), 'test', (client) =>
    client.query(
      "insert into freehold.resident (tenant_id, epoch, entry_digest, state) values ($1, 1, $2, 'active')",
      [tenantId, entryDigest(entryKey)],
    ),
  )
}
const tables = await withClient(source, 'test', (client) => readTables(client))
const scope = { tenantId, epoch: 1, entryKey, schema: 'public' }
const route: StreamRoute = {
  stream: 'changes',
  name: 'changes',
  from: { ...scope, mover: source, owner: on.as('freehold_owner', 'source') },
  to: { ...scope, mover: target },
  tables: pairTables(tables, tables),
}
const stream = logStream(route)
const created = await stream.create({ timeoutMs: 10_000, signal: new AbortController().signal })
await created.release()

const writer = await connectClient(asSuperuser(on.cluster, 'source'), 'test')
t.teardown(() => writer.end())
const insert = (name: string) =>
  writer.query("insert into customers (tenant_id, email, name) values ($1, $2 || '@x.test', $2)", [
    tenantId,
    name,
  ])

async function start(fencingToken: number): Promise<Applier> {
  const claim = { stream: 'changes', fencingToken }
  await withClient(target, 'test', (mover) => claimTarget(mover, claim))
  return stream.startApplier(fencingToken, { arePassedOver: () => false })
}

function scopeOf(mover: DatabaseAddress): TenantScope {
  return { tenantId, epoch: 1, entryKey, schema: 'public', mover }
}

function requireShape(key: string): TableShape {
  const found = tables.find((table) => table.key === key)
  if (found === undefined) throw new Error(`there is no table ${key}`)
  return found
}

async function compared(changed: ChangedRows): Promise<DifferentRows[]> {
  const here = await connectClient(source, 'test', { pipeline: true })
  const there = await connectClient(target, 'test', { pipeline: true })
  try {
    return await compareRows(
      { client: here, scope: scopeOf(source) },
      { client: there, scope: scopeOf(target) },
      changed,
    )
  } finally {
    await Promise.all([here.end(), there.end()])
  }
}

const names = () =>
  withClient(asSuperuser(on.cluster, 'target'), 'test', async (client) =>
    (await client.query<{ name: string }>('select name from customers order by name')).rows.map(
      ({ name }) => name,
    ),
  )

/** Waits until a session is in the state that is described. */
async function until(what: string, session: string): Promise<void> {
  const begun = performance.now()
  for (;;) {
    const found = await withClient(asSuperuser(on.cluster, 'source'), 'test', (client) =>
      client.query(`select from pg_stat_activity where ${session}`),
    )
    if ((found.rowCount ?? 0) > 0) return
    if (performance.now() - begun > 60_000) throw new Error(`waited in vain: ${what}`)
    await sleep(50)
  }
}

t.test('what could not be applied is not acknowledged, and comes again', async (t) => {
  const first = await start(1)
  await insert('a')
  await first.drain(5_000)
  // The target is locked, and then cut off under the transaction that waits for it.
  const blocker = await connectClient(asSuperuser(on.cluster, 'target'), 'test')
  await blocker.query('begin; lock table customers in exclusive mode')
  await insert('b')
  await sleep(200)
  await blocker.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'freehold-apply %'",
  )
  // Work that is none of the tenant's makes the source tell the stream how far the log has come.
  for (let round = 0; round < 60; round++) {
    await writer.query('update currencies set name = name')
    await sleep(25)
  }
  await blocker.query('rollback')
  await blocker.end()
  await t.rejects(first.drain(1_000), 'the applier is over')
  await first.close()
  t.same(await names(), ['a'])

  const second = await start(2)
  await insert('c')
  await second.drain(5_000)
  await second.close()
  t.same(await names(), ['a', 'b', 'c'], 'nothing is missing, nothing is there twice')
})

t.test('an applier whose lease was taken writes nothing any more', async (t) => {
  const former = await start(3)
  await former.drain(5_000)
  await withClient(asSuperuser(on.cluster, 'target'), 'test', (client) =>
    client.query("update freehold.applied set fencing_token = 4 where stream = 'changes'"),
  )
  await insert('d')
  await t.rejects(former.drain(5_000), { code: 'lease_lost' })
  await former.close()
  t.same(await names(), ['a', 'b', 'c'])
  const successor = await start(5)
  await successor.drain(5_000)
  await successor.close()
  t.same(await names(), ['a', 'b', 'c', 'd'])
  await t.rejects(start(4), { code: 'lease_lost' }, 'an older lease cannot take the target back')
})

t.test('rows that were taken to be compared are remembered again when they change again', async (t) => {
  const applier = await start(6)
  const changed = () => applier.changedRows()?.flatMap(({ keys }) => keys.map(([, id]) => id)) ?? []
  await insert('e')
  await insert('f')
  await applier.drain(5_000)
  const taken = applier.takeChangedRows() ?? []
  t.same(changed(), [], 'nothing has changed since')
  await writer.query("update customers set labels = '{new}' where name = 'e'")
  await applier.drain(5_000)
  t.equal(changed().length, 1, 'the one that has')

  await withClient(asSuperuser(on.cluster, 'target'), 'test', (client) =>
    client.query("update customers set labels = '{tampered}' where name = 'f'"),
  )
  const different = await compared(taken)
  t.same(
    different.map(({ keys, source, target }) => [keys.length, source, target]),
    [[1, { rows: 2 }, { rows: 2 }]],
  )
  applier.giveBack(different)
  t.equal(changed().length, 2, 'and the one that is given back')
  await writer.query("delete from customers where name in ('e', 'f')")
  await applier.drain(5_000)
  t.same(await compared(applier.changedRows() ?? []), [], 'rows that are on neither side are equal')
  await applier.close()
})

t.test('each row to be compared is found by its key, and no table is read through', async (t) => {
  await withClient(asSuperuser(on.cluster, 'target'), 'test', async (owner) => {
    await owner.query(
      `insert into customers (tenant_id, email, name)
       select $1, 'many' || n || '@x.test', 'many' from generate_series(1, 20000) n`,
      [tenantId],
    )
    const { rows } = await owner.query<{ id: string }>(
      "select id from customers where name = 'many' limit 1500",
    )
    const keys = rows.map(({ id }) => [tenantId, id])
    await withClient(target, 'test', (mover) =>
      asTenant(mover, scopeOf(target), async () => {
        const hashes = await rowHashes(mover, requireShape('customers'), [...keys, [tenantId, randomUUID()]])
        t.equal(new Set(hashes).size, 1501, 'a hash a row, and none for the one that is not there')
        const read = await mover.query<{ rows: string }>(
          "select seq_tup_read + idx_tup_fetch as rows from pg_stat_xact_user_tables where relname = 'customers'",
        )
        t.equal(Number(read.rows[0]?.rows), 1500)
      }),
    )
    await owner.query("delete from customers where name = 'many'")
  })
})

t.test('a transaction of any size is held in parts, and applied whole or not at all', async (t) => {
  const rows = 3_000
  const large = () =>
    withClient(asSuperuser(on.cluster, 'target'), 'test', async (client) => {
      const found = await client.query<{ names: string }>(
        "select left(name, 1) || count(*) as names from customers where email like 'large%' group by left(name, 1)",
      )
      return found.rows.map(({ names }) => names)
    })
  const activity = (condition: string) =>
    withClient(asSuperuser(on.cluster, 'source'), 'test', (client) =>
      client.query(`select pg_terminate_backend(pid, 5000) from pg_stat_activity where ${condition}`),
    )
  /** Stops reading: as much waits there as the sockets hold. */
  const sourceWaits = () =>
    until('the source is not read any further', `wait_event = 'WalSenderWriteData' and datname = 'source'`)
  /** Whoever inserts the 500th row at the target waits for this one, with the others before it. */
  const hinder = async () => {
    const client = await connectClient(asSuperuser(on.cluster, 'target'), 'test')
    await client.query('begin')
    await client.query(
      "insert into customers (tenant_id, email, name) values ($1, 'large500@x.test', 'hindrance')",
      [tenantId],
    )
    return client
  }

  const first = await start(7)
  const before = await hinder()
  await writer.query(
    `insert into customers (tenant_id, email, name)
     select $1, 'large' || n || '@x.test', repeat('a', 12000) from generate_series(1, ${rows}) n`,
    [tenantId],
  )
  await sourceWaits()
  await activity("application_name like 'freehold-apply %'")
  await before.end()
  await first.close()
  t.same(await large(), [], 'a part by itself is not there')

  const again = await hinder()
  const second = await start(8)
  await until('the first parts are applied', "wait_event = 'transactionid' and datname = 'target'")
  // The point is after what is under way, and its slot can be created while both databases are on one server.
  const point = second.atOnePoint({ timeoutMs: 30_000, signal: new AbortController().signal }, large)
  await again.end()
  t.same(await point, [`a${rows}`])
  t.equal(second.changesApplied, rows, 'once')

  // What commits while a point is being found is more than is held here.
  await writer.query("begin; update customers set name = repeat('b', 12000) where email like 'large%'")
  const next = second.atOnePoint({ timeoutMs: 30_000, signal: new AbortController().signal }, large)
  await until(
    'the slot waits for the writer',
    "wait_event_type = 'Lock' and application_name = 'freehold-verify'",
  )
  await writer.query('commit')
  t.same(await next, [`b${rows}`])
  await writer.query("delete from customers where email like 'large%'")
  await second.drain(30_000)
  t.same(await large(), [])
  await second.close()
})

t.test('what changes between two points of one comparison is remembered', async (t) => {
  const applier = await start(9)
  const patience = { timeoutMs: 30_000, signal: new AbortController().signal }
  const write = () =>
    writer.query("insert into customers (tenant_id, email, name) values ($1, 'between@x.test', 'x')", [
      tenantId,
    ])
  const changed = () => applier.changedRows()?.flatMap(({ keys }) => keys).length ?? 0
  await applier.atOnePoint(patience, () => write())
  await applier.atOnePoint({ ...patience, isNext: true }, async () => undefined)
  t.equal(changed(), 1)
  await applier.atOnePoint(patience, async () => undefined)
  t.equal(changed(), 0, 'and not beyond a comparison that begins anew')
  await writer.query("delete from customers where email = 'between@x.test'")
  await applier.drain(30_000)
  await applier.close()
})

t.test('a transaction is waited for beyond its time, as long as it comes forward', async (t) => {
  const applier = await start(20)
  await writer.query(
    `insert into customers (tenant_id, email, name)
     select $1, 'long' || n || '@x.test', repeat('l', 2000) from generate_series(1, 20000) n`,
    [tenantId],
  )
  await t.rejects(applier.drain(20), { name: 'TimeoutError' })
  await catchUp(applier, { turnMs: 20, mayStop: () => false })
  t.equal(applier.changesApplied, 20_000)
  await writer.query("delete from customers where email like 'long%'")
  await catchUp(applier, { turnMs: 20, mayStop: () => false })
  await applier.close()
  t.same(await names(), ['a', 'b', 'c', 'd'])
})

t.test('a row that enters the tenant arrives with the values that the log does not tell', async (t) => {
  const other = randomUUID()
  const LONG = "(select string_agg(sha512(n::text::bytea)::text, '') from generate_series(1, 200) n)"
  const make = (name: string) =>
    writer.query(
      `insert into customers (tenant_id, email, name, address)
       values ($1, $2 || '@x.test', $2, jsonb_build_object('long', ${LONG}))`,
      [other, name],
    )
  const enter = (name: string) =>
    writer.query('update customers set tenant_id = $1 where name = $2', [tenantId, name])
  const leave = (name: string) =>
    writer.query('update customers set tenant_id = $1 where name = $2', [other, name])
  const rows = (database: string) =>
    withClient(asSuperuser(on.cluster, database), 'test', async (client) =>
      (
        await client.query<{ row: string }>(
          "select to_jsonb(customers)::text as row from customers where tenant_id = $1 and name like 'guest%' order by name",
          [tenantId],
        )
      ).rows.map(({ row }) => row),
    )
  const equal = async (what: string, count: number) => {
    const arrived = await rows('target')
    t.same(arrived, await rows('source'), what)
    t.equal(arrived.length, count)
  }
  /** What is done meanwhile has been done when the change is applied that comes before it. */
  const keptWaiting = async (work: () => Promise<unknown>) => {
    const blocker = await connectClient(asSuperuser(on.cluster, 'target'), 'test')
    await blocker.query('begin; lock table customers in exclusive mode')
    await insert(`waits-${randomUUID()}`)
    await until('the applier waits', "application_name like 'freehold-apply %' and wait_event_type = 'Lock'")
    await work()
    await blocker.query('commit')
    await blocker.end()
  }

  const applier = await start(21)
  for (const name of ['guest-1', 'guest-2', 'guest-3', 'guest-4']) await make(name)
  await enter('guest-1')
  await applier.drain(60_000)
  await equal('as it came', 1)
  await keptWaiting(async () => {
    await enter('guest-2')
    await writer.query("update customers set address = '{}' where name = 'guest-2'")
    await enter('guest-3')
    await writer.query("update customers set labels = '{late}' where name = 'guest-3'")
  })
  await applier.drain(60_000)
  await equal('as it was changed since', 3)

  await keptWaiting(async () => {
    await enter('guest-4')
    await leave('guest-4')
  })
  await t.rejects(applier.drain(60_000), { code: 'row_not_readable' }, 'never without the value')
  await applier.close()
  await enter('guest-4')
  const next = await start(22)
  await next.drain(60_000)
  await equal('in the end', 4)
  await writer.query("delete from customers where name like 'guest%' or name like 'waits%'")
  await next.drain(60_000)
  await next.close()
})

t.test('a server that vanishes without closing its connections is not waited for', async (t) => {
  const proxies = await Promise.all([startCuttableProxy(source), startCuttableProxy(target)])
  const [near, far] = proxies
  if (near === undefined || far === undefined) throw new Error('there are two')
  t.teardown(() => Promise.all(proxies.map((proxy) => proxy.close())))
  const rerouted = async (fencingToken: number, from: DatabaseAddress, to: DatabaseAddress) => {
    await withClient(target, 'test', (mover) => claimTarget(mover, { stream: 'changes', fencingToken }))
    const stream = logStream({
      ...route,
      from: { ...route.from, mover: from },
      to: { ...route.to, mover: to },
    })
    return stream.startApplier(fencingToken, { arePassedOver: () => false })
  }
  // One whose target is lost, and one whose stream is: nobody hears anything, and a drain has all the time there is.
  const deaf = await rerouted(23, source, far.address)
  await deaf.drain(5_000)
  far.vanish()
  await insert('unheard')
  const endTarget = () =>
    withClient(asSuperuser(on.cluster, 'target'), 'test', (client) =>
      client.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'freehold-apply %'",
      ),
    )
  await endTarget()
  await t.rejects(deaf.drain(120_000), { code: 'ETIMEDOUT' })
  await deaf.close()

  const silent = await rerouted(24, near.address, target)
  await silent.drain(5_000)
  near.vanish()
  await writer.query('select pg_terminate_backend(active_pid) from pg_replication_slots where active')
  await insert('also unheard')
  await t.rejects(silent.drain(120_000), { code: 'ETIMEDOUT' })
  await silent.close()
})

t.test('a stream with nothing to tell is not taken for one that has vanished', async (t) => {
  const sessions = async () =>
    (
      await writer.query(
        "select datname, sessions from pg_stat_database where datname in ('source', 'target')",
      )
    ).rows
  const applier = await start(25)
  await applier.drain(5_000)
  // What has just ended is counted a moment later.
  await sleep(1_500)
  const before = await sessions()
  await sleep(11_500)
  t.same(await sessions(), before, 'nobody was asked')
  await applier.drain(5_000)
  await applier.close()
})

t.test('a change without its row is a divergence, never passed over', async (t) => {
  const applier = await start(26)
  await withClient(asSuperuser(on.cluster, 'target'), 'test', (client) =>
    client.query("delete from customers where name = 'a'"),
  )
  await writer.query("update customers set name = 'a2' where name = 'a'")
  await t.rejects(applier.drain(5_000), /diverged/)
  await applier.close()
})
