import { setTimeout as sleep } from 'node:timers/promises'
import { moveTargetSchema, type Tenant } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { contentAtHome, examineTenant, leftBehind } from './examine.ts'
import { type FaultGround, prepareFaultGround } from './fault-ground.ts'

const TABLES = ['customers', 'orders', 'order_lines', 'order_events'] as const
const CUSTOMERS = 4_000
const ROWS_PER_SECOND = 2_000
const PATIENCE_MS = 300_000

const ground: FaultGround = await prepareFaultGround()
t.teardown(() => ground.remove())

t.test('a worker is killed between two batches of a table that it loads into a pool', async (t) => {
  const tenant = await ground.tenant('between-batches', CUSTOMERS)
  const content = await contentAtHome(ground, tenant)
  const writer = ground.startWriter(tenant)
  const pool = moveTargetSchema.parse({ isolation: 'pool', region: 'eu' })
  const move = await ground.startMove(tenant, pool, 'auto', { maxRowsPerSecond: ROWS_PER_SECOND })
  while (!(await hasHalfATable(tenant))) await sleep(10)
  await ground.worker.kill()
  t.ok(await hasHalfATable(tenant), 'some of its batches are there, and others are not')

  await ground.worker.start()
  await ground.expireLeases()
  const ended = await ground.ended(move, PATIENCE_MS)
  const report = await writer.stop()
  t.equal(ended.phase, 'completed', {
    timeline: ended.events.map(({ phase, message }) => `${phase}: ${message}`),
    worker: ground.worker.log,
  })
  t.same(report.failures, [], 'no write failed')
  t.same(await examineTenant(ground, tenant, ended, content, report), [])
  t.same(await leftBehind(ground), [])
})

async function hasHalfATable(tenant: Tenant): Promise<boolean> {
  return withClient(asSuperuser(ground.eu.cluster, 'pool'), 'test', async (client) => {
    const counts = TABLES.map(
      (table) => `(select count(*)::int from ${table} where tenant_id = $1) as ${table}`,
    )
    const found = await client.query<Record<string, number>>(`select ${counts.join(', ')}`, [tenant.id])
    return Object.values(found.rows[0] ?? {}).some((rows) => rows > 0 && rows < CUSTOMERS)
  })
}
