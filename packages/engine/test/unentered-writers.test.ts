import { setTimeout as sleep } from 'node:timers/promises'
import type { OperationId } from '@freehold/contract'
import { connectClient, deriveEntryKey, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { type MovingGround, prepareMovingGround, TEST_ENTRY_SECRET } from '../../../test/kit/moving-ground.ts'

/** Who passes by row security need not enter: neither the fence nor the tenant's lock keeps such a writer out. */
const ground: MovingGround = await prepareMovingGround({ usSettings: { max_prepared_transactions: '2' } })
t.teardown(() => ground.remove())
const pool = asSuperuser(ground.us.cluster, 'pool')

const fixedAt = async (database: string, tenantId: string) =>
  withClient(asSuperuser(ground.eu.cluster, database), 'test', async (client) => {
    const found = await client.query<{ fixed: string; all: string }>(
      "select count(*) filter (where name = 'FIXED') as fixed, count(*) as all from customers where tenant_id = $1",
      [tenantId],
    )
    return found.rows[0]
  })

/** Waits until the timeline of a move says something, or the tenant has been switched without it. */
async function told(id: OperationId, what: RegExp): Promise<boolean> {
  for (;;) {
    const { events, phase, finishedAt } = await ground.catalog.moves.detail(id)
    if (events.some(({ message }) => what.test(message))) return true
    if (finishedAt !== null || phase === 'soak' || phase === 'finalize') return false
    await sleep(50)
  }
}

for (const { begun, stream, attempts } of [
  { begun: 'ready.entered', stream: 'logical', attempts: 1 },
  { begun: 'cutover.entered', stream: 'logical', attempts: 1 },
  { begun: 'cutover.fenced', stream: 'logical', attempts: 2 },
  { begun: 'cutover.drained', stream: 'logical', attempts: 2 },
  { begun: 'cutover.drained', stream: 'triggers', attempts: 2 },
] as const) {
  t.test(`a data fix that is begun at ${begun} is waited for (${stream})`, async (t) => {
    const tenant = await ground.tenant(`fixed-${begun.replace('.', '-')}-${stream}`, 20)
    const fixer = await connectClient(pool, 'data-fix')
    t.teardown(() => fixer.end())
    let state: 'none' | 'open' | 'committed' = 'none'
    const commit = async () => {
      if (state !== 'open') return
      state = 'committed'
      await fixer.query('commit')
    }
    const engine = ground.engine({
      barrier: async (name) => {
        // One that has been open under the fence would be lost if it ended behind the marker.
        if (name === 'cutover.drained') await commit()
        if (name !== begun || state !== 'none') return
        state = 'open'
        await fixer.query('begin')
        await fixer.query("update customers set name = 'FIXED' where tenant_id = $1", [tenant.id])
      },
      // Long enough that it is not an expired fence that ends the attempt.
      settings: { fenceExpiryMs: 60_000 },
    })
    t.teardown(() => engine.stop())
    engine.start()
    const move = await ground.startMove(tenant, 'eu', stream)
    const waits = begun === 'ready.entered' ? 'The switch waits: ' : ''
    t.ok(
      await told(move.id, new RegExp(`${waits}Process \\d+ \\(data-fix\\) .* is writing to customers and`)),
    )
    await commit()
    const ended = await ground.ended(move.id)
    t.equal(ended.phase, 'completed', JSON.stringify(ended.error))
    t.same(await fixedAt(ended.to.database, tenant.id), { fixed: '20', all: '20' })
    t.equal(ended.progress.cutoverAttempts, attempts, 'no fence was raised in vain')
  })
}

t.test('a data fix that is prepared is waited for', async (t) => {
  const tenant = await ground.tenant('fixed-in-two-phases', 20)
  let isBegun = false
  const engine = ground.engine({
    barrier: async (name) => {
      if (name !== 'cutover.entered' || isBegun) return
      isBegun = true
      await withClient(pool, 'test', async (client) => {
        await client.query('begin')
        await client.query("update customers set name = 'FIXED' where tenant_id = $1", [tenant.id])
        await client.query("prepare transaction 'data-fix'")
      })
    },
  })
  t.teardown(() => engine.stop())
  engine.start()
  const move = await ground.startMove(tenant, 'eu', 'triggers')
  t.ok(await told(move.id, /prepared transaction data-fix .* has not entered/))
  await withClient(pool, 'test', (client) => client.query("commit prepared 'data-fix'"))
  const ended = await ground.ended(move.id)
  t.equal(ended.phase, 'completed', JSON.stringify(ended.error))
  t.same(await fixedAt(ended.to.database, tenant.id), { fixed: '20', all: '20' })
})

t.test('neighbours who have entered and write to the same tables are not waited for', async (t) => {
  const tenant = await ground.tenant('beside-a-neighbour', 20)
  const neighbour = await ground.tenant('neighbour', 20)
  const { dataDatabaseId, epoch } = neighbour.placement
  const entryKey = deriveEntryKey(TEST_ENTRY_SECRET, { tenantId: neighbour.id, dataDatabaseId, epoch })
  const writers = await Promise.all(
    [0, 1].map(() => connectClient(ground.us.as('freehold_app', 'pool'), 'product')),
  )
  t.teardown(() => Promise.all(writers.map((writer) => writer.end())))
  const [open, prepared] = writers
  const write = async (writer: typeof open) => {
    await writer?.query('begin')
    await writer?.query('select freehold.enter_writer($1, $2)', [neighbour.id, entryKey])
    await writer?.query(
      "update orders set reference = 'changed' where id = (select min(id::text)::uuid from orders)",
    )
  }
  let isBegun = false
  const ends = Promise.withResolvers<void>()
  const engine = ground.engine({
    barrier: async (name) => {
      if (name === 'ready.entered' && !isBegun) {
        isBegun = true
        await write(open)
        await prepared?.query('begin')
        await prepared?.query('select freehold.enter_writer($1, $2)', [neighbour.id, entryKey])
        await prepared?.query("insert into customers (email, name) values ('p@example.test', 'P')")
        await prepared?.query("prepare transaction 'neighbour'")
      }
      // The purge waits for whoever entered before the switch.
      if (name === 'soak.entered') {
        await open?.query('commit')
        await withClient(pool, 'test', (client) => client.query("commit prepared 'neighbour'"))
        ends.resolve()
      }
    },
  })
  t.teardown(() => engine.stop())
  engine.start()
  const move = await ground.startMove(tenant)
  const ended = await ground.ended(move.id)
  await ends.promise
  t.equal(ended.phase, 'completed', JSON.stringify(ended.error))
  t.equal(ended.progress.cutoverAttempts, 1)
  t.notOk(ended.events.some(({ message }) => /has not entered/.test(message)))
})
