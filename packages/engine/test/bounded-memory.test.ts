import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { closeClient, connectClient, deriveEntryKey, entryDigest, withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { type CuttableProxy, startCuttableProxy } from '../../../test/kit/cuttable-proxy.ts'
import { asSuperuser, createDataDatabase } from '../../../test/kit/databases.ts'
import { tableChecksum } from '../src/database/checksum.ts'
import { asTenant, type TenantScope } from '../src/database/entered.ts'
import { pairTables, readTables } from '../src/database/tables.ts'
import { claimTarget } from '../src/database/target-claim.ts'
import { type DrillDown, locateDifferences } from '../src/move/compare.ts'
import { dropChangeTriggers } from '../src/resources/change-triggers.ts'
import type { StreamRoute } from '../src/stream/change-stream.ts'
import { logStream } from '../src/stream/log-stream.ts'
import { triggerStream } from '../src/stream/trigger-stream.ts'

/**
 * What a worker holds of a tenant is bounded, however wide its rows and however many. It is told by what a server has sent while
 * the worker can put nothing to the other side: a proxy counts it, and takes no more than the worker does.
 */
const WIDE = { rows: 30, bytes: 8_000_000 }
/** Some rows of that width, as they are held and as they are written, and what is on its way in sockets. */
const MOST_HELD_BYTES = 100_000_000

const on = await startPreparedCluster('bounded')
t.teardown(() => on.cluster.remove())
t.setTimeout(240_000)
const tenantId = randomUUID()
const entryKey = deriveEntryKey('x'.repeat(32), { tenantId, dataDatabaseId: randomUUID(), epoch: 1 })
for (const name of ['source', 'target']) {
  await createDataDatabase(on.cluster, on.passwords, name)
  await withClient(on.as('freehold_owner', name), 'test', (owner) =>
    owner.query(`create table document (tenant_id uuid not null, id int not null, body text not null, primary key (tenant_id, id));
      select freehold.protect_table('document')`),
  )
  await withClient(asSuperuser(on.cluster, name), 'test', (client) =>
    client.query(
      "insert into freehold.resident (tenant_id, epoch, entry_digest, state) values ($1, 1, $2, 'active')",
      [tenantId, entryDigest(entryKey)],
    ),
  )
}
const tables = await withClient(on.as('freehold_mover', 'source'), 'test', (client) => readTables(client))
const document = tables.filter(({ key }) => key === 'document')
const pairs = pairTables(document, document)
const scope = (mover: TenantScope['mover']): TenantScope => ({
  tenantId,
  epoch: 1,
  entryKey,
  schema: 'public',
  mover,
})
const sql = (database: string, statement: string) =>
  withClient(asSuperuser(on.cluster, database), 'test', (client) =>
    client.query(statement.replaceAll(':tenant', tenantId)),
  )

for (const [name, open] of [
  ['logical', logStream],
  ['triggers', triggerStream],
] as const) {
  t.test(`rows of ${WIDE.bytes / 1e6} MB, followed by ${name}, are held a few at a time`, async (t) => {
    const proxy = await proxied(t)
    const route: StreamRoute = {
      stream: `wide_${name}`,
      name: `wide_${name}`,
      from: { ...scope(proxy.address), owner: on.as('freehold_owner', 'source') },
      to: scope(on.as('freehold_mover', 'target')),
      tables: pairs,
    }
    const stream = open(route)
    const patience = { timeoutMs: 30_000, signal: new AbortController().signal }
    await (await stream.create(patience)).release()
    await withClient(route.to.mover, 'test', (mover) =>
      claimTarget(mover, { stream: route.stream, fencingToken: 1 }),
    )
    // Whoever puts a row to the target waits for this one.
    const hindrance = await connectClient(asSuperuser(on.cluster, 'target'), 'test')
    t.teardown(() => closeClient(hindrance))
    await hindrance.query('begin')
    await hindrance.query(`insert into document select $1, n, '' from generate_series(1, ${WIDE.rows}) n`, [
      tenantId,
    ])
    await sql(
      'source',
      `insert into document select ':tenant', n, repeat('x', ${WIDE.bytes}) from generate_series(1, ${WIDE.rows}) n`,
    )
    const before = proxy.sentByServer
    const applier = await stream.startApplier(1, { arePassedOver: () => false })
    t.teardown(() => applier.close())
    const held = await whenHeldUp(proxy, before)
    t.ok(held >= WIDE.bytes, `${held} bytes are held`)
    t.ok(held <= MOST_HELD_BYTES, `and no more: ${held} bytes of ${WIDE.rows * WIDE.bytes}`)
    await hindrance.query('rollback')
    await applier.drain(120_000)
    const sums = await Promise.all(['source', 'target'].map(sumOf))
    t.same(sums[0], sums[1])
    t.match(sums[0], { rows: WIDE.rows })
    await sql('source', 'delete from document')
    await applier.drain(60_000)
    await applier.close()
    if (name === 'triggers') {
      await withClient(route.from.owner, 'test', (owner) => dropChangeTriggers(owner, route.name))
    }
  })
}

t.test('of a table of any size, a verification lists the rows of the parts that differ', async (t) => {
  const ROWS = 20_000
  for (const database of ['source', 'target']) {
    await sql(
      database,
      `insert into document select ':tenant', n, 'x' from generate_series(1, ${ROWS}) n; analyze document`,
    )
  }
  await sql(
    'target',
    "delete from document where id = 7; update document set body = 'y' where id in (8, 15000); insert into document values (':tenant', -1, '')",
  )
  const proxy = await proxied(t)
  const here = await connectClient(proxy.address, 'test')
  const there = await connectClient(on.as('freehold_mover', 'target'), 'test')
  t.teardown(() => Promise.all([closeClient(here), closeClient(there)]))
  const [source, target] = await Promise.all(['source', 'target'].map(sumOf))
  const [tables] = pairs
  if (source === undefined || target === undefined || tables === undefined)
    throw new Error('there is a table')
  const located = async (drillDown: DrillDown) => {
    const before = proxy.sentByServer
    const found = await locateDifferences(
      { client: here, scope: scope(proxy.address) },
      { client: there, scope: scope(on.as('freehold_mover', 'target')) },
      [{ tables, range: {}, source, target }],
      drillDown,
    )
    return { found, bytes: proxy.sentByServer - before }
  }
  // As the largest tables are taken apart: more rows in each of the first parts than are to be listed.
  const { found, bytes } = await located({ partRows: 16, parts: 16, partsOfPart: 16, differentParts: 10 })
  t.match(found, [{ kinds: { missing: 1, extra: 1, changed: 2 } }])
  t.same(
    found[0]?.keys?.map(([, id]) => Number(id)).sort((a, b) => a - b),
    [-1, 7, 8, 15_000],
  )
  t.ok(bytes < 30_000, `${bytes} bytes were sent for it`)

  await sql('target', "update document set body = 'z' where id % 100 = 0")
  const many = await located({ partRows: 16, parts: 16, partsOfPart: 16, differentParts: 20 })
  t.equal(many.found[0]?.keys, undefined, 'more than can be mended row by row is not listed')
  t.ok(many.bytes < 30_000, `${many.bytes} bytes were sent for it`)
})

async function proxied(t: Test): Promise<CuttableProxy<TenantScope['mover']>> {
  const proxy = await startCuttableProxy(on.as('freehold_mover', 'source'))
  t.teardown(() => proxy.close())
  return proxy
}

/** Waits until the target waits, and the source for the worker, who takes no more; or has taken too much. @returns how much it has. */
async function whenHeldUp(proxy: CuttableProxy<unknown>, before: number): Promise<number> {
  const deadline = performance.now() + 120_000
  for (let former = -1; ; ) {
    const taken = proxy.sentByServer - before
    const waiting = await sql(
      'source',
      `select from pg_stat_activity where (datname = 'target' and wait_event = 'transactionid')
         or (datname = 'source' and wait_event in ('ClientWrite', 'WalSenderWriteData'))`,
    )
    if ((waiting.rowCount === 2 && taken === former) || taken > MOST_HELD_BYTES) return taken
    if (performance.now() > deadline) throw new Error(`nobody waits; ${taken} bytes were taken`)
    former = taken
    await sleep(250)
  }
}

function sumOf(database: string) {
  const mover = on.as('freehold_mover', database)
  return withClient(mover, 'test', (client) =>
    asTenant(client, scope(mover), async () => {
      const [shape] = document
      if (shape === undefined) throw new Error('there is a table')
      return tableChecksum(client, shape)
    }),
  )
}
