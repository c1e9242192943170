import { setTimeout as sleep } from 'node:timers/promises'
import type { OperationId, Tenant } from '@freehold/contract'
import { closeClient, connectClient, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { prepareMovingGround } from '../kit/moving-ground.ts'
import { expireLease } from '../kit/relay.ts'

/** Whoever has lost the claim of the home that a tenant has left changes nothing there any more. */
const ground = await prepareMovingGround()
t.teardown(() => ground.remove())
const inPool = (sql: string, values: unknown[]) =>
  withClient(
    asSuperuser(ground.us.cluster, 'pool'),
    'test',
    async (client) => (await client.query(sql, values)).rows,
  )

const CUSTOMERS = 40
const PATIENCE_MS = 300_000
const streamOf = (id: OperationId) => `freehold_back_${id.replaceAll('-', '')}`

t.test('a purge begins and goes on only under the claim', async (t) => {
  const tenant = await ground.tenant('purged', CUSTOMERS)
  const { id } = await ground.startMove(tenant)
  const runTo = async (barrier: string) => {
    let met = false
    const engine = ground.engine({
      settings: { purgeBatchRows: 10, copyStreams: 1 },
      barrier: async (name) => {
        if (name !== barrier || met) return
        met = true
        await claimByAnother(id)
      },
    })
    await engine.nudge(id)
    await engine.stop()
    t.ok(met, `stood at ${barrier}`)
    const rows = await rowsOf(tenant)
    await inPool('delete from freehold.applied where stream = $1', [streamOf(id)])
    await expireLease(ground, id)
    return rows
  }
  const all = await rowsOf(tenant)
  t.equal(await runTo('finalize.released'), all, 'nothing is purged')
  const left = await runTo('finalize.batch_purged')
  t.ok(left > 0 && left < all, `no further batch is purged: ${left} of ${all} rows are left`)
  const engine = ground.engine()
  engine.start()
  t.equal((await ground.ended(id, PATIENCE_MS)).phase, 'completed')
  await engine.stop()
  t.equal(await rowsOf(tenant), 0)
})

t.test('the old home expects the tenant only under the claim', async (t) => {
  const tenant = await ground.tenant('expected', CUSTOMERS)
  const { id } = await ground.startMove(tenant, 'eu', 'auto', {}, 3_600)
  // A transaction from before the switch, for whose end the old home waits once it is claimed.
  const reader = await connectClient(ground.us.as('freehold_app', 'pool'), 'test')
  t.teardown(() => closeClient(reader))
  await reader.query('begin; select 1')
  const engine = ground.engine()
  const run = engine.nudge(id)
  while ((await claimsOf(id)).length === 0) await sleep(20)
  await claimByAnother(id)
  await reader.query('commit')
  await run
  t.same(await statesOf(tenant), ['moved'], 'it does not')

  await inPool('delete from freehold.applied where stream = $1', [streamOf(id)])
  await expireLease(ground, id)
  engine.start()
  while (!(await statesOf(tenant)).includes('standby')) await sleep(20)
  await ground.catalog.operations.requestFinalize(id)
  t.equal((await ground.ended(id, PATIENCE_MS)).phase, 'completed')
  await engine.stop()
  t.same(await statesOf(tenant), ['moved'])
})

/** As a worker with a newer lease does. */
async function claimByAnother(id: OperationId): Promise<void> {
  await inPool(
    `insert into freehold.applied (stream, fencing_token, lsn) values ($1, 1000, '0/0')
     on conflict (stream) do update set fencing_token = 1000`,
    [streamOf(id)],
  )
}

const claimsOf = (id: OperationId) => inPool('select from freehold.applied where stream = $1', [streamOf(id)])

async function statesOf(tenant: Tenant): Promise<unknown[]> {
  const found = await inPool('select state from freehold.resident where tenant_id = $1 order by epoch', [
    tenant.id,
  ])
  return found.map(({ state }) => state)
}

async function rowsOf(tenant: Tenant): Promise<number> {
  const tables = ['customers', 'products', 'orders', 'order_lines', 'order_events']
  const counts = tables.map((table) => `(select count(*)::int from ${table} where tenant_id = $1)`)
  const [found] = await inPool(`select ${counts.join(' + ')} as rows`, [tenant.id])
  return found?.rows
}
