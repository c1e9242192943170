import { setTimeout as sleep } from 'node:timers/promises'
import type { TenantId } from '@freehold/contract'
import t from 'tap'
import { homeAt, type TestDatabase } from '../../../test/kit/tenants.ts'
import { until } from '../../../test/kit/until.ts'
import { MAX_CONNECTIONS, occupy, prepareBudgetGround, read } from './budget-ground.ts'

const ground = await prepareBudgetGround('connected-beforehand')
t.teardown(() => ground.remove())
const { source, databases, second, residents, newRouter, newTenant } = ground

/** Says that a tenant is about to move to another database, and returns when a router has had time to hear of it. */
async function announceMove(tenantId: TenantId, to: TestDatabase): Promise<void> {
  source.coming.set(tenantId, homeAt(to, tenantId))
  source.announce({ tenantId, coming: true })
  await sleep(100)
}

t.test('a router connects to where a tenant is about to live, in places that nobody wants', async (t) => {
  const [home, target] = [databases[0] as TestDatabase, databases[1] as TestDatabase]
  const tenantId = await newTenant(home)
  const router = newRouter()
  const connectionsTo = (database: TestDatabase) => router.connections().get(database.id)
  await announceMove(tenantId, target)
  t.equal(connectionsTo(target), undefined, 'none for a tenant that it does not know')

  const work = await occupy(router.forTenant(tenantId))
  source.announce({ tenantId, coming: true })
  await until(() => connectionsTo(target)?.idle === MAX_CONNECTIONS - 1, 'what is free is used')
  await announceMove(tenantId, target)
  t.match(router.metrics().connections, {
    used: MAX_CONNECTIONS,
    lent: 1,
    counters: { connects: MAX_CONNECTIONS },
  })

  source.failure = new Error('the catalog is away')
  await announceMove(tenantId, target)
  source.failure = undefined
  t.match(
    router.metrics().connections,
    { used: MAX_CONNECTIONS },
    'announced twice, or without a catalog: no more',
  )

  const another = await newTenant(databases[2] as TestDatabase)
  await read(router.forTenant(another))
  t.equal(connectionsTo(target)?.idle, MAX_CONNECTIONS - 2, 'whoever has work gets the place of one')
  await work.end()
})

t.test('no connection is made beforehand in the place of another', async (t) => {
  const [home, target] = [databases[0] as TestDatabase, databases[1] as TestDatabase]
  const tenantId = await newTenant(home)
  const router = newRouter()
  const db = router.forTenant(tenantId)
  const working = await Promise.all(Array.from({ length: MAX_CONNECTIONS - 1 }, () => occupy(db)))
  await read(router.forTenant(residents[3] as TenantId))
  t.match(router.metrics().connections, { used: MAX_CONNECTIONS, idle: 1 })
  await announceMove(tenantId, target)
  t.equal(router.connections().get(target.id)?.size ?? 0, 0, 'not even of one that is idle')
  t.equal(router.metrics().connections.counters.closed.evicted, 0)
  await Promise.all(working.map((work) => work.end()))
})

t.test('a tenant that never comes, and a database that does not answer, do no harm', async (t) => {
  const home = databases[0] as TestDatabase
  const tenantId = await newTenant(home)
  const router = newRouter()
  await read(router.forTenant(tenantId))
  const coming = homeAt(second, tenantId)
  source.coming.set(tenantId, { ...coming, address: { ...coming.address, database: 'not_there' } })
  source.announce({ tenantId, coming: true })
  await until(() => router.metrics().connections.counters.connectFailures > 0, 'it is tried')
  await read(router.forTenant(tenantId))
  await until(() => router.metrics().connections.used === 1, 'and nothing is left of it')
  t.match(router.metrics().connections, { used: 1, idle: 1, waiting: 0 })
})
