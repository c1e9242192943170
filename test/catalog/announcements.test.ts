import { type Announcement, createRouteSource, type Route, type RouteSource } from '@freehold/catalog'
import { createTenantSchema, epochSchema, type Tenant, tenantIdSchema } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import type { PlacementSource } from '@freehold/tenancy'
import t from 'tap'
import { openTestCatalog, registerTestCluster, startPreparedCluster } from '../kit/control-plane.ts'
import { asSuperuser } from '../kit/databases.ts'
import { noProgress, recordMove } from '../kit/moves.ts'
import { until } from '../kit/until.ts'

const server = await startPreparedCluster('announcements')
const catalog = await openTestCatalog(server)
const us = await registerTestCluster(catalog, server, 'us')
const eu = await registerTestCluster(catalog, server, 'eu')
const reader = server.as('freehold_reader', 'freehold_catalog')
t.teardown(async () => {
  await catalog.close()
  await server.cluster.remove()
})

// The router declares what it needs, the catalog has it; neither imports the other. Checked by the compiler.
const openSource = (): RouteSource & PlacementSource =>
  createRouteSource({ address: reader, applicationName: 'test-router' })

const SECOND = epochSchema.parse(2)

let created = 0
async function newTenant(): Promise<Tenant> {
  const input = createTenantSchema.parse({ slug: `tenant-${++created}`, name: 'T', region: 'us' })
  return (await catalog.tenants.create(input, async () => undefined)).tenant
}

async function moveHome(tenant: Tenant): Promise<void> {
  const name = `silo_${tenant.slug}`
  await catalog.placements.switchHome({
    tenantId: tenant.id,
    fromEpoch: tenant.placement.epoch,
    toEpoch: epochSchema.parse(tenant.placement.epoch + 1),
    dataDatabaseId: await catalog.topology.registerSilo({ clusterId: eu.cluster, name }),
    isolation: 'silo',
    schema: 'public',
  })
}

async function cutListeners(name: string): Promise<void> {
  await withClient(asSuperuser(server.cluster, 'postgres'), 'test', async (client) => {
    const cut = await client.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1',
      [`${name}-listener`],
    )
    if (cut.rowCount === 0) throw new Error('nobody listens')
  })
}

t.test('changes of placements and operations are announced', async (t) => {
  const tenant = await newTenant()
  const heard: Announcement[] = []
  const unsubscribe = await catalog.announcements.subscribe((announcement) => heard.push(announcement))
  t.teardown(unsubscribe)

  await catalog.announcements.announceOpen(tenant.id, SECOND)
  await until(() => heard.length === 1)
  t.same(heard.splice(0), [{ kind: 'open', tenantId: tenant.id, epoch: SECOND }])

  const { id } = await recordMove(catalog, tenant, eu.cluster)
  await until(() => heard.length === 1)
  t.same(heard.splice(0), [{ kind: 'operation', id }])

  const claimed = await catalog.operations.claim(id, 'worker', 60_000)
  const lease = { id, token: claimed?.fencingToken ?? 0 }
  await catalog.operations.renewLease(lease, 60_000)
  await catalog.operations.saveState(lease, { version: 1 })
  t.same(heard, [], 'what is not shown is not announced')
  for (const write of [
    () => catalog.operations.saveProgress(lease, noProgress),
    () => catalog.operations.addEvent(lease, 'Hello.'),
    () => catalog.operations.requestCancel(id),
    () =>
      catalog.operations.advance({
        ...lease,
        fromPhase: 'planned',
        toPhase: 'aborting',
        state: {},
        message: 'Cancelled.',
      }),
  ]) {
    await write()
    await until(() => heard.length === 1)
    t.same(heard.splice(0), [{ kind: 'operation', id }])
  }

  await moveHome(tenant)
  await until(() => heard.length > 0)
  t.same(heard.splice(0), [{ kind: 'placement', tenantId: tenant.id, epoch: 2 }], 'once, with its epoch')
})

t.test('who unsubscribes hears nothing more', async (t) => {
  const tenant = await newTenant()
  const heard: [Announcement[], Announcement[]] = [[], []]
  const first = await catalog.announcements.subscribe((announcement) => heard[0].push(announcement))
  t.teardown(await catalog.announcements.subscribe((announcement) => heard[1].push(announcement)))
  first()
  await catalog.announcements.announceOpen(tenant.id, SECOND)
  await until(() => heard[1].length > 0)
  t.same(heard[0], [])
})

t.test('a connection that breaks is made again, and anything may have changed meanwhile', async (t) => {
  const tenant = await newTenant()
  const heard: Announcement[] = []
  t.teardown(await catalog.announcements.subscribe((announcement) => heard.push(announcement)))
  for (let round = 0; round < 3; round++) {
    await cutListeners('test')
    await until(() => heard.some(({ kind }) => kind === 'all'))
    heard.length = 0
    await catalog.announcements.announceOpen(tenant.id, SECOND)
    await until(() => heard.length === 1)
    t.same(heard.splice(0), [{ kind: 'open', tenantId: tenant.id, epoch: SECOND }])
  }
})

t.test('whoever closes while the connection is being made is not kept waiting', async (t) => {
  const source = openSource()
  const subscribing = source.subscribe(() => undefined)
  await source.close()
  await subscribing
  t.pass('closed')
})

t.test('a server that falls silent is noticed', async (t) => {
  const heard: Announcement[] = []
  t.teardown(await catalog.announcements.subscribe((announcement) => heard.push(announcement)))
  const [pid] = await withClient(asSuperuser(server.cluster, 'postgres'), 'test', async (client) => {
    const found = await client.query<{ pid: number }>(
      "select pid from pg_stat_activity where application_name = 'test-listener'",
    )
    return found.rows.map((row) => row.pid)
  })
  if (pid === undefined) throw new Error('nobody listens')
  process.kill(pid, 'SIGSTOP')
  t.teardown(() => process.kill(pid, 'SIGCONT'))
  await until(() => heard.some(({ kind }) => kind === 'all'))
  const tenant = await newTenant()
  await until(() => heard.some((each) => each.kind === 'placement' && each.tenantId === tenant.id))
  t.pass('it is listened to again, over another connection')
})

t.test('a router sees routes and nothing else', async (t) => {
  const source = openSource()
  t.teardown(() => source.close())
  const tenant = await newTenant()
  const route: Route | null = await source.lookup(tenant.id)
  t.same(route, {
    tenantId: tenant.id,
    slug: tenant.slug,
    status: 'active',
    tier: 'free',
    epoch: 1,
    isolation: 'pool',
    schema: 'public',
    dataDatabaseId: us.pool,
    region: 'us',
    address: server.as('freehold_app', 'pool'),
  })
  t.equal(await source.lookup(tenantIdSchema.parse('00000000-0000-4000-8000-000000000000')), null)
  await withClient(reader, 'test', async (client) => {
    for (const sql of [
      'select * from catalog.tenants',
      'select * from catalog.clusters',
      'select * from catalog.operations',
      'select * from catalog.memberships',
      'select name, created_by from catalog.api_keys',
      'update catalog.api_keys set revoked_at = null',
      "insert into catalog.tenant_hosts (host, tenant_id) values ('a.example', 'a')",
      'update catalog.placements set until = now()',
      'create table public.mine ()',
    ]) {
      await t.rejects(client.query(sql), { code: '42501' }, sql)
    }
  })
})

t.test(
  'a router is told where a tenant is about to live, and asks the catalog which database that is',
  async (t) => {
    const source = openSource()
    t.teardown(() => source.close())
    const tenant = await newTenant()
    const heard: unknown[] = []
    t.teardown(await source.subscribe((change) => heard.push(change)))
    t.equal(await source.comingHome(tenant.id), null, 'it does not move')

    const move = await recordMove(catalog, tenant, eu.cluster)
    t.equal(await source.comingHome(tenant.id), null, 'the database is not there yet')
    const dataDatabaseId = await catalog.topology.registerSilo({
      clusterId: eu.cluster,
      name: move.targetDatabase,
    })
    await withClient(reader, 'test', async (client) => {
      for (const payload of ['not a tenant', '', '{"tenantId":1}', 'x'.repeat(5_000)]) {
        await client.query('select pg_notify($1, $2)', ['freehold_coming', payload])
      }
    })
    await catalog.announcements.announceComing(tenant.id)
    await until(() => heard.length > 0)
    t.same(heard, [{ tenantId: tenant.id, coming: true }], 'what names no tenant is passed over')
    t.same(await source.comingHome(tenant.id), {
      epoch: 2,
      isolation: 'silo',
      schema: 'public',
      dataDatabaseId,
      region: 'eu',
      address: server.as('freehold_app', move.targetDatabase),
    })
    t.match(await source.lookup(tenant.id), { epoch: 1, dataDatabaseId: us.pool }, 'its home is where it was')

    await catalog.placements.switchHome({
      tenantId: tenant.id,
      fromEpoch: tenant.placement.epoch,
      toEpoch: SECOND,
      dataDatabaseId,
      isolation: 'silo',
      schema: 'public',
    })
    const back = { epoch: 3, isolation: 'pool', dataDatabaseId: us.pool, region: 'us' }
    t.match(await source.comingHome(tenant.id), back, 'from there it can only go back')
  },
)

t.test('a router is told what to look up anew', async (t) => {
  const source = openSource()
  t.teardown(() => source.close())
  const tenant = await newTenant()
  const heard: unknown[] = []
  const unsubscribe = await source.subscribe((change) => heard.push(change))
  await recordMove(catalog, tenant, eu.cluster)
  await moveHome(tenant)
  await until(() => heard.length > 0)
  t.same(heard.splice(0), [{ tenantId: tenant.id, homeSince: 2 }], 'operations are not its business')
  t.match(await source.lookup(tenant.id), { epoch: 2, isolation: 'silo', region: 'eu' })
  await cutListeners('test-router')
  await until(() => heard.includes('all'))
  await unsubscribe()
})

t.test(
  'while the control database is away, one is told so; when it is back, all is well again',
  async (t) => {
    const source = openSource()
    t.teardown(() => source.close())
    const tenant = await newTenant()
    const heard: unknown[] = []
    await source.subscribe((change) => heard.push(change))
    await allowConnections(false)
    const unavailable = { code: 'catalog_unavailable', retryAfterSeconds: 1 }
    await t.rejects(source.lookup(tenant.id), unavailable)
    await t.rejects(catalog.ping(), unavailable)
    await t.rejects(catalog.tenants.get('tenant-1'), unavailable)
    await t.rejects(catalog.placements.switchHome({ ...anySwitch(tenant) }), unavailable)

    const late: unknown[] = []
    const second = openSource()
    t.teardown(() => second.close())
    await second.subscribe((change) => late.push(change))
    await allowConnections(true)
    await until(() => heard.includes('all') && late.includes('all'))
    t.match(await source.lookup(tenant.id), { epoch: 1 })
    await catalog.ping()
  },
)

function anySwitch(tenant: Tenant) {
  return {
    tenantId: tenant.id,
    fromEpoch: tenant.placement.epoch,
    toEpoch: epochSchema.parse(2),
    dataDatabaseId: us.pool,
    isolation: 'pool' as const,
    schema: 'public',
  }
}

/** Puts the control database away as a restart does: its connections end, and new ones are refused. */
async function allowConnections(allowed: boolean): Promise<void> {
  await withClient(asSuperuser(server.cluster, 'postgres'), 'test', async (client) => {
    await client.query(`alter database freehold_catalog allow_connections ${allowed}`)
    if (allowed) return
    await client.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'freehold_catalog'",
    )
  })
}

t.end()
