import { setTimeout as sleep } from 'node:timers/promises'
import { connectClient, type DatabaseAddress, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { type MovingGround, prepareMovingGround } from '../../../test/kit/moving-ground.ts'
import { tableStructure } from '../../../test/kit/table-structure.ts'
import { tenantContent } from '../../../test/kit/tenant-content.ts'
import { startTenantWriter } from '../../../test/kit/tenant-writer.ts'
import { moveStateSchema } from '../src/move/state.ts'

const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())

/** @returns whether it has come to be, within ten seconds. */
async function until(condition: () => boolean): Promise<boolean> {
  const deadline = performance.now() + 10_000
  while (!condition() && performance.now() < deadline) await sleep(10)
  return condition()
}

t.test('a tenant moves to a silo of another cluster while it is written to', async (t) => {
  const tenant = await ground.tenant('acme', 3_000)
  const neighbour = await ground.tenant('neighbour', 200)
  const source = asSuperuser(ground.us.cluster, 'pool')
  const before = await tenantContent(source, neighbour.id)

  const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant, 4, {
    writesPerSecond: Number.POSITIVE_INFINITY,
  })
  const move = await ground.startMove(tenant)
  const engine = ground.engine()
  t.teardown(() => engine.stop())
  engine.start()
  const ended = await ground.ended(move.id)
  const report = await writer.stop()
  t.comment(`${report.acknowledged} writes, longest pause ${report.longestPauseMs.toFixed(1)} ms`)

  t.equal(ended.phase, 'completed')
  t.ok(report.acknowledged > 100, 'the tenant was written to')
  t.same(report.failures, [], 'no write failed')
  const home = asSuperuser(ground.eu.cluster, ended.to.database)
  t.same(await report.differences(home), [], 'every acknowledged write is in the home, once')
  t.same(await tenantContent(source, tenant.id), {}, 'the pool holds none of its rows')
  t.same(await tenantContent(source, neighbour.id), before, "the neighbour's rows are as they were")
  t.same(await otherTenants(ended.to.database, tenant.id), [], 'the silo holds nobody else')
  t.same(
    await tableStructure(home),
    await tableStructure(source),
    'keys, indexes, triggers and guards are all back',
  )
  t.same(
    await statistics(home),
    { gathered: true, due: true },
    'there are statistics, and autovacuum gathers better ones',
  )
  t.same(await leftovers(), [], 'no slot, publication or ledger entry is left')
})

t.test('a tenant moves on from its silo to another cluster, and the old silo goes', async (t) => {
  const tenant = await ground.tenant('nomad', 500)
  const heard: string[] = []
  const listen = await ground.catalog.announcements.subscribe((news) => {
    if ('tenantId' in news && news.tenantId === tenant.id && heard.at(-1) !== news.kind) heard.push(news.kind)
  })
  t.teardown(listen)
  const isHeard = (kind: string) => until(() => heard.at(-1) === kind)
  const engine = ground.engine({
    barrier: async (name) => {
      if (name === 'ready.entered') t.ok(await isHeard('coming'), 'routers connect while it is verified')
    },
  })
  t.teardown(() => engine.stop())
  engine.start()
  const first = await ground.ended((await ground.startMove(tenant)).id)
  t.equal(first.phase, 'completed')
  t.ok(await isHeard('open'), 'and are told when writers can go on')
  t.same(heard.slice(-2), ['placement', 'open'], 'after where it lives')

  const moved = await ground.catalog.tenants.get(tenant.id)
  const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant)
  const second = await ground.ended((await ground.startMove(moved, 'us')).id)
  const report = await writer.stop()
  t.equal(second.phase, 'completed')
  t.same(report.failures, [])
  t.same(await report.differences(asSuperuser(ground.us.cluster, second.to.database)), [])
  const silos = await withClient(
    asSuperuser(ground.eu.cluster, 'postgres'),
    'test',
    async (client) =>
      (await client.query("select from pg_database where datname like 'silo_nomad%'")).rowCount,
  )
  t.equal(silos, 0)
})

for (const changeStream of ['logical', 'triggers'] as const) {
  t.test(`a tenant is verified in pieces and at several points, by ${changeStream}`, async (t) => {
    const tenant = await ground.tenant(`pieces-${changeStream}`, 100)
    const before = await tenantContent(asSuperuser(ground.us.cluster, 'pool'), tenant.id)
    const rows = Object.values(before).flat().length
    const reader = ground.us.as('freehold_reader', 'freehold_catalog')
    const writer = startTenantWriter(reader, tenant, 2)
    const engine = ground.engine({ settings: { verifyBatchRows: 40, verifyPointMs: 0 } })
    engine.start()
    const ended = await ground.ended((await ground.startMove(tenant, 'eu', changeStream)).id)
    await engine.stop()
    const report = await writer.stop()
    t.equal(ended.phase, 'completed')
    t.ok((ended.progress.verification?.rows ?? 0) >= rows, 'every row is in a piece')
    t.equal(ended.progress.verification?.mismatches, 0)
    t.same(report.failures, [])
    t.same(await report.differences(asSuperuser(ground.eu.cluster, ended.to.database)), [])
  })
}

t.test('a cancel is heard while somebody holds a table that is to be published', async (t) => {
  const tenant = await ground.tenant('held-table', 10)
  const holder = await connectClient(asSuperuser(ground.us.cluster, 'pool'), 'test')
  t.teardown(() => holder.end())
  // As one who makes an index CONCURRENTLY.
  await holder.query('begin; lock table orders in share update exclusive mode')
  const engine = ground.engine()
  t.teardown(() => engine.stop())
  engine.start()
  const { id } = await ground.startMove(tenant, 'eu', 'logical')
  const waits = async () =>
    (await holder.query("select from pg_locks where relation = 'orders'::regclass and not granted")).rowCount
  await ground.endedOr(id, ({ phase }) => phase === 'dual_write')
  while ((await waits()) === 0) await sleep(10)
  await ground.catalog.operations.requestCancel(id)
  t.match(await ground.ended(id), { phase: 'aborted', error: { code: 'move_cancelled' } })
  await holder.query('rollback')
  t.same(await leftovers(), [])
})

t.test('a cancelled move leaves the tenant where it was, and nothing behind', async (t) => {
  const tenant = await ground.tenant('undecided', 500)
  const before = await tenantContent(asSuperuser(ground.us.cluster, 'pool'), tenant.id)
  const move = await ground.startMove(tenant)
  const engine = ground.engine({
    leaseMs: 400,
    barrier: async (name) => {
      if (name !== 'verify.entered') return
      await ground.catalog.operations.requestCancel(move.id)
      await new Promise((resolve) => setTimeout(resolve, 300))
    },
  })
  t.teardown(() => engine.stop())
  engine.start()
  const ended = await ground.ended(move.id)
  t.equal(ended.phase, 'aborted')
  t.equal(ended.error?.code, 'move_cancelled')
  t.equal((await ground.catalog.tenants.get(tenant.id)).placement.epoch, tenant.placement.epoch)
  t.same(await tenantContent(asSuperuser(ground.us.cluster, 'pool'), tenant.id), before)
  t.same(await leftovers(), [])
})

t.test('a difference between the two sides stops the move before the switch', async (t) => {
  const tenant = await ground.tenant('tampered', 500)
  const move = await ground.startMove(tenant)
  const engine = ground.engine({
    barrier: async (name) => {
      if (name !== 'verify.entered') return
      const { to } = await ground.catalog.moves.get(move.id)
      await withClient(asSuperuser(ground.eu.cluster, to.database), 'test', (client) =>
        client.query(
          `update customers set name = name || '.' where tenant_id = $1
             and id = (select id from customers where tenant_id = $1 limit 1)`,
          [tenant.id],
        ),
      )
    },
  })
  t.teardown(() => engine.stop())
  engine.start()
  const ended = await ground.ended(move.id)
  t.equal(ended.phase, 'aborted')
  t.match(ended.error, { code: 'verification_failed', details: { table: 'customers' } })
  t.same(await leftovers(), [])
})

t.test(
  'a copy that is begun anew again and again is given up, unless workers were stopped in order',
  async (t) => {
    const [stopped, lost] = [await ground.tenant('deployed', 20), await ground.tenant('crashing', 20)]
    const move = await ground.startMove(stopped)
    const copiesBegun = async () =>
      moveStateSchema.parse((await ground.catalog.operations.get(move.id)).state)
    for (let deploys = 0; deploys < 7; deploys++) {
      const begun = Promise.withResolvers<void>()
      const worker = ground.engine({
        barrier: async (name) => {
          if (name !== 'backfill.table_copied') return
          begun.resolve()
          await stopping
        },
      })
      const stopping = begun.promise.then(() => void worker.stop())
      await worker.nudge(move.id)
      await worker.stop()
      t.match(await ground.catalog.moves.get(move.id), { phase: 'backfill', error: null })
      t.equal((await copiesBegun()).copyAttempts, 0, `stop ${deploys} does not count`)
    }
    const last = ground.engine()
    last.start()
    t.equal((await ground.ended(move.id)).phase, 'completed')
    await last.stop()

    const failing = await ground.startMove(lost)
    const engine = ground.engine({
      barrier: async (name) => {
        if (name === 'backfill.table_copied') throw new Error('as if the worker had been lost')
      },
    })
    engine.start()
    t.match(await ground.ended(failing.id), {
      phase: 'aborted',
      error: { code: 'operation_retries_exhausted', detail: /begun 5 times/ },
    })
    await engine.stop()
  },
)

async function otherTenants(database: string, tenantId: string): Promise<unknown[]> {
  return withClient(asSuperuser(ground.eu.cluster, database), 'test', async (client) => {
    const found = await client.query('select tenant_id from customers where tenant_id <> $1', [tenantId])
    return found.rows
  })
}

/** Whether the planner knows the columns of a table, and whether autovacuum has analyzed it or is going to. */
async function statistics(database: DatabaseAddress): Promise<unknown> {
  return withClient(database, 'test', async (client) => {
    const { rows } = await client.query(
      `select exists (select from pg_stats where tablename = 'customers' and attname = 'email') as gathered,
         autoanalyze_count > 0 or n_mod_since_analyze > 1000 as due
       from pg_stat_user_tables where relname = 'customers'`,
    )
    return rows[0]
  })
}

async function leftovers(): Promise<unknown[]> {
  const ledger = await ground.catalog.ledger.unreleased()
  const atSource = await withClient(asSuperuser(ground.us.cluster, 'pool'), 'test', async (client) => [
    ...(await client.query('select slot_name from pg_replication_slots')).rows,
    ...(await client.query('select pubname from pg_publication')).rows,
  ])
  return [...ledger, ...atSource]
}
