import { clusterIdSchema, type MovePlan, moveTargetSchema, type Tenant } from '@freehold/contract'
import { migrateDataDatabase, planMove } from '@freehold/engine'
import { migrate, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser, createDatabase, migrationsFolder, withEarlierMigrations } from '../kit/databases.ts'
import { prepareMovingGround, TEST_ENTRY_SECRET } from '../kit/moving-ground.ts'

const ground = await prepareMovingGround()
t.teardown(() => ground.remove())
const eu = clusterIdSchema.parse('eu-1')

/** A pool of a release that had no data migrations from this number on. */
async function olderPool(name: string, firstMissing: number): Promise<void> {
  await createDatabase(ground.eu.cluster, name)
  await withClient(ground.eu.as('freehold_owner', name), 'test', async (owner) => {
    await withEarlierMigrations(firstMissing, (folder) => migrate(owner, folder, 'data'))
    await migrate(owner, migrationsFolder('product'), 'product')
  })
  await ground.catalog.topology.registerPool({ clusterId: eu, name })
}

const into = (isolation: 'pool' | 'schema', database?: string) =>
  moveTargetSchema.parse({ isolation, cluster: eu, database })

async function plan(tenant: Tenant, target: ReturnType<typeof into>): Promise<MovePlan> {
  const planned = await planMove(ground.catalog, {
    tenantIdOrSlug: tenant.id,
    target,
    rollbackWindowSeconds: 0,
    entrySecret: TEST_ENTRY_SECRET,
  })
  return planned.plan
}

t.test('a database of before the newest data migration is no target until it is brought to it', async (t) => {
  const tenants = { pool: await ground.tenant('pooled', 10), schema: await ground.tenant('schemed', 10) }
  await olderPool('older', 7)
  for (const isolation of ['pool', 'schema'] as const) {
    const found = (await plan(tenants[isolation], into(isolation, 'older'))).findings
    t.match(found[0], { severity: 'blocking', code: 'database_outdated', object: 'older' }, isolation)
    t.match(found[0]?.remedy, /freehold adopt/)
    t.equal(found.filter(({ severity }) => severity === 'blocking').length, 1, isolation)
    await t.rejects(ground.startMove(tenants[isolation], into(isolation, 'older')), { code: 'move_blocked' })
    t.equal((await plan(tenants[isolation], into(isolation))).to.database, 'pool', 'another one is taken')
  }

  await migrateDataDatabase(ground.eu.as('freehold_owner', 'older'), {
    freehold: migrationsFolder('data'),
    product: migrationsFolder('product'),
  })
  const engine = ground.engine()
  engine.start()
  for (const isolation of ['pool', 'schema'] as const) {
    const { id } = await ground.startMove(tenants[isolation], into(isolation, 'older'))
    t.match(await ground.ended(id, 300_000), { phase: 'completed', to: { database: 'older' } }, isolation)
  }
  await engine.stop()
})

t.test('a database that a tenant is in already is told of once', async (t) => {
  const tenant = await ground.tenant('within', 1)
  const inPool = (sql: string) =>
    withClient(asSuperuser(ground.us.cluster, 'pool'), 'test', (client) => client.query(sql))
  await inPool('alter table freehold.resident rename column left_at to gone_at')
  const target = moveTargetSchema.parse({ isolation: 'schema', region: 'us' })
  const found = (await plan(tenant, target)).findings
  t.match(
    found.filter(({ code }) => code === 'database_outdated'),
    [{ object: 'pool', found: /^The schema freehold of pool on us-1 / }],
  )
  await inPool('alter table freehold.resident rename column gone_at to left_at')
})
