// Leaks 3, 19 and 20: what stands beside the database, which is a pooler, a queue of jobs and a cache; by their
// numbers in docs/isolation.md. Each is tried as it is meant to be used, and then again with its guard taken out.

import { randomUUID } from 'node:crypto'
import type { TenantId } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { createRouter, type FreeholdDatabase, type Router, runAsTenant, type Tenant } from '@freehold/tenancy'
import { type CacheStore, createTenantCache, memoryStore, redisStore } from '@freehold/tenancy/cache'
import { tenantQueue, tenantWorker } from '@freehold/tenancy/jobs'
import { Redis } from 'ioredis'
import { type Kysely, sql } from 'kysely'
import t from 'tap'
import { startPgBouncer } from '../kit/pgbouncer.ts'
import { startTestRedis } from '../kit/redis.ts'
import { testEntrySecret } from '../kit/tenants.ts'
import { type LeakGround, layGrounds, onEachGround, tableOf } from './leaks/leak-ground.ts'
import { withoutReset, withPolicy } from './leaks/mutations.ts'
import { told } from './told.ts'

t.setTimeout(180_000)
const grounds = await layGrounds('leaks-around')
const [anyGround] = grounds
if (!anyGround) throw new Error('there is no ground')
const redis = await startTestRedis()
const client = new Redis(redis.url)
/** One connection to each database: the next client is on the same session. */
const pooler = await startPgBouncer(anyGround.attacker.home.app, {
  poolSize: 1,
  // Otherwise a router that is not told of it cannot connect at all.
  settings: { ignore_startup_parameters: 'options' },
})
t.teardown(async () => {
  client.disconnect()
  await Promise.all([redis.remove(), pooler.remove()])
})

const tell = (work: Promise<unknown>) => work.then(told, told)

/** Sends everything of the ground's through the pooler. */
async function throughPooler<T>(ground: LeakGround, work: () => Promise<T>): Promise<T> {
  const before = new Map(ground.source.routes)
  for (const [id, route] of before) {
    ground.source.routes.set(id, { ...route, address: pooler.through(route.address) })
  }
  try {
    return await work()
  } finally {
    for (const [id, route] of before) ground.source.routes.set(id, route)
  }
}

/** Two clients of the pooler, of which the first sets its tenant and its schema for the session. */
async function setForSession({ victim }: LeakGround): Promise<string> {
  const address = pooler.through(victim.home.app)
  return withClient(address, 'earlier', async (earlier) => {
    await earlier.query(
      `select set_config('leaks.tenant', $1, false), set_config('search_path', quote_ident($2), false)`,
      [victim.id, victim.schema ?? 'public'],
    )
    const found = await withClient(address, 'later', (later) => tell(later.query('select name from items')))
    await earlier.query('discard all')
    return found
  })
}

const LEAVE = [
  `set leaks.of_tenant = 'marker-of-the-victim'`,
  `select set_config('leaks.of_tenant', name, false) from items where id = 1`,
]

/** What the victim leaves, as the successor finds it behind the pooler. */
async function leaveBehindPooler(ground: LeakGround, leave: string, options: object): Promise<string> {
  return throughPooler(ground, async () => {
    const router = ground.router(options)
    try {
      await tell(sql.raw(leave).execute(router.forTenant(ground.victim.id)))
      const address = pooler.through(ground.victim.home.app)
      const find = `select current_setting('leaks.of_tenant', true) as found`
      return await withClient(address, 'next', async (next) => {
        const { rows } = await next.query(find)
        await next.query('discard all')
        return told(rows)
      })
    } finally {
      await router.close()
    }
  })
}

onEachGround(grounds, '3: sessions that a pooler hands from client to client', async (t, ground) => {
  const { victim, marker } = ground
  for (const leave of LEAVE) {
    t.notMatch(await leaveBehindPooler(ground, leave, { pooler: 'transaction' }), marker, leave)
    const unguarded = await withoutReset(() =>
      leaveBehindPooler(ground, leave, { preparedStatements: false }),
    )
    t.match(unguarded, marker, 'a router that knows of no pooler, and does not reset, leaves it there')
  }
  t.notMatch(await setForSession(ground), marker, 'who sets a tenant for the session has entered as nobody')
  const believed =
    victim.schema === null
      ? `tenant_id::text = current_setting('leaks.tenant', true)`
      : 'current_schema() is not null'
  const leaked = await withPolicy(victim.home, tableOf(victim), { using: believed }, () =>
    setForSession(ground),
  )
  t.match(leaked, marker, 'and where settings are believed, the next client is the tenant')
})

const newRouter = (ground: LeakGround): Router<FreeholdDatabase> =>
  createRouter({ source: ground.source, entrySecret: testEntrySecret, maxConnectionsPerDatabase: 2 })

const namesOf = async (db: Kysely<FreeholdDatabase>) => told(await sql`select name from items`.execute(db))

type Lookup = (id: string, find: (id: string) => Promise<Tenant>) => Promise<Tenant>

interface Ran {
  readonly asked: unknown
  readonly as: string
  readonly attempt: number
  readonly names: string
}

/**
 * Both tenants put a job in, and each fails once.
 *
 * @param lookup how the worker finds a tenant.
 * @param deleted whether the attacker is deleted before its job runs.
 * @returns what has run, and why others have not.
 */
async function runJobs(
  ground: LeakGround,
  lookup: Lookup,
  deleted: boolean,
): Promise<{ ran: Ran[]; refused: string }> {
  const { attacker, victim, source } = ground
  const router = newRouter(ground)
  const looking: Router<FreeholdDatabase> = {
    forTenant: (id) => router.forTenant(id),
    tenant: (id) => lookup(id, (known) => router.tenant(known)),
    ready: () => router.ready(),
    connections: () => router.connections(),
    metrics: () => router.metrics(),
    close: () => router.close(),
  }
  const common = {
    name: `leaks-${randomUUID().slice(0, 8)}`,
    regions: { 'us-east': { redisUrl: redis.url } },
  }
  const queue = tenantQueue({ ...common, router })
  await queue.forTenant(victim.id).add('work', { of: 'victim' }, { backoffMs: 100 })
  await queue.forTenant(attacker.id).add('work', { of: 'attacker' }, { backoffMs: 100 })
  const route = source.routes.get(attacker.id)
  if (deleted) source.routes.delete(attacker.id)
  source.announce({ tenantId: attacker.id })

  const ran: Ran[] = []
  let refused = ''
  const { promise: over, resolve } = Promise.withResolvers<void>()
  const look = () => {
    const of = (whose: string) => ran.filter(({ asked }) => Object(asked).of === whose)
    const isOver = refused.includes('tenant_not_found') || of('attacker').length >= (deleted ? 1 : 2)
    if (of('victim').length >= 2 && isOver) resolve()
  }
  const worker = tenantWorker({
    ...common,
    router: looking,
    concurrency: 1,
    onError: (error) => {
      refused += error.message
      look()
    },
    handler: async ({ payload, tenant, db, attempt }) => {
      ran.push({ asked: payload, as: tenant.id, attempt, names: await namesOf(db) })
      look()
      if (attempt === 1) throw new Error('once')
    },
  })
  await over
  await worker.close()
  await queue.close()
  await router.close()
  if (route) source.routes.set(attacker.id, route)
  return { ran, refused }
}

onEachGround(
  grounds,
  '19: jobs of a tenant that is gone, and jobs that are tried again',
  async (t, ground) => {
    const { victim, marker } = ground
    const { ran, refused } = await runJobs(ground, (id, find) => find(id), true)
    t.match(refused, 'tenant_not_found', 'the job of the deleted one is refused')
    t.same(
      ran.map(({ as, attempt, asked }) => ({ as, attempt, asked })),
      [1, 2].map((attempt) => ({ as: victim.id, attempt, asked: { of: 'victim' } })),
      'the job of nobody does not run, and another one is tried again as its tenant',
    )
    let last: Tenant | undefined
    const remembering: Lookup = async (id, find) => {
      try {
        last = await find(id)
      } catch (error) {
        if (!last) throw error
      }
      return last ?? find(victim.id)
    }
    last = await findVictim(ground)
    const unguarded = await runJobs(ground, remembering, true)
    const foreign = unguarded.ran.filter(({ asked }) => Object(asked).of === 'attacker')
    t.match(foreign, [{ as: victim.id, names: marker }], 'where the last tenant stays, it runs as that one')

    const own = { victim: victim.id, attacker: ground.attacker.id }
    const isForeign = ({ asked, as }: Ran) => as !== Reflect.get(own, Object(asked).of)
    const both = await runJobs(ground, (id, find) => find(id), false)
    t.equal(both.ran.length, 4)
    t.same(both.ran.filter(isForeign), [], 'the second time like the first')
    const known = new Set<string>()
    const once: Lookup = async (id, find) => {
      if (!known.has(id)) last = await find(id)
      known.add(id)
      return last ?? find(id)
    }
    const mixed = await runJobs(ground, once, false)
    t.ok(mixed.ran.some(isForeign), 'where a tenant is set the first time only, another one is tried again')
  },
)

async function findVictim(ground: LeakGround): Promise<Tenant> {
  const router = newRouter(ground)
  const tenant = await router.tenant(ground.victim.id)
  await router.close()
  return tenant
}

/** A store that takes every tenant for one: keys without a prefix. */
function withoutPrefix(store: CacheStore, all: TenantId): CacheStore {
  return {
    get: (_, key) => store.get(all, key),
    lease: (_, key, limits) => store.lease(all, key, limits),
    giveUp: (_, key, lease) => store.giveUp(all, key, lease),
    set: (_, key, value, limits, lease) => store.set(all, key, value, limits, lease),
    delete: (_, key) => store.delete(all, key),
    flush: () => store.flush(all),
  }
}

/** The victim caches what is in its rows; the attacker reads the same key, and flushes. */
async function shareCache(ground: LeakGround, store: CacheStore): Promise<{ found: string; left: unknown }> {
  const router = newRouter(ground)
  const cache = createTenantCache({ router, stores: { 'us-east': store }, patienceMs: 20_000 })
  const { attacker, victim } = ground
  const rows = (db: Kysely<FreeholdDatabase>) => cache.getOrSet('names', () => namesOf(db))
  try {
    await runAsTenant(router, victim.id, rows)
    const found = told(await runAsTenant(router, attacker.id, rows))
    await runAsTenant(router, attacker.id, () => cache.flush())
    return { found, left: await runAsTenant(router, victim.id, () => cache.get('names')) }
  } finally {
    await router.close()
  }
}

onEachGround(grounds, '20: a cache whose keys have no prefix, and which is flushed', async (t, ground) => {
  const stores = { memory: () => memoryStore(), Redis: () => redisStore(client, { prefix: randomUUID() }) }
  for (const [kind, open] of Object.entries(stores)) {
    const apart = await shareCache(ground, open())
    t.notMatch(apart.found, ground.marker, `${kind}: one key, two entries`)
    t.match(apart.left, ground.marker, `${kind}: a flush is of one tenant`)
    const shared = await shareCache(ground, withoutPrefix(open(), ground.victim.id))
    t.match(shared.found, ground.marker, `${kind}: without a prefix it is one entry`)
    t.equal(shared.left, undefined, `${kind}: and a flush is everybody’s`)
  }
})
