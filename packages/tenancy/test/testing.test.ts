import { AssertionError } from 'node:assert'
import { randomUUID } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import { createPool, withClient } from '@freehold/postgres'
import { createRouter, currentTenant } from '@freehold/tenancy'
import { freehold } from '@freehold/tenancy/fastify'
import { assertIsolated, type IsolationTrial, runAs, seedTwoTenants } from '@freehold/tenancy/testing'
import fastify from 'fastify'
import { sql } from 'kysely'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import {
  ControlledSource,
  createItemsDatabase,
  newTenantId,
  setResident,
  testEntrySecret,
} from '../../../test/kit/tenants.ts'

const prepared = await startPreparedCluster('testing')
const database = await createItemsDatabase(prepared, 'pool')
await withClient(database.superuser, 'test', (client) =>
  client.query(`
    create view all_items as select * from items;
    grant select on all_items to freehold_app;
    create function everything() returns setof items language sql security definer set search_path = public
      as 'select * from items';
    create function mark_all() returns void language sql security definer set search_path = public
      as 'update items set quantity = quantity + 1';
    create function give_away(to_tenant uuid) returns void language sql security definer set search_path = public
      as 'insert into items values (to_tenant, floor(random() * 1000000000)::int, md5(random()::text))';
  `),
)
const source = new ControlledSource()
const router = createRouter({ source, entrySecret: testEntrySecret })
const rawPool = createPool(database.superuser, 'raw', 2)
t.teardown(async () => {
  await router.close()
  await rawPool.end()
  await prepared.cluster.remove()
})

const tenants = await seedTwoTenants({
  router,
  ids: [newTenantId(), newTenantId()],
  admit: async (id) => {
    const tenantId = source.place(database, id as ReturnType<typeof newTenantId>)
    await setResident(database, id as ReturnType<typeof newTenantId>)
    return tenantId
  },
  seed: async (db, { marker }) => {
    await db
      .insertInto('items')
      .values([
        { id: 1, name: marker },
        { id: 2, name: 'the same for both' },
      ])
      .execute()
  },
})

type Exercise = IsolationTrial['exercise']
const { superuser } = database

/** Fails with an AssertionError that says so, whether it looks past row security or not. */
async function caught(
  t: Pick<typeof t0, 'ok' | 'match'>,
  exercise: Exercise,
  message: RegExp,
): Promise<void> {
  for (const options of [{}, { superuser }]) {
    const error = await assertIsolated({ ...tenants, exercise, ...options }).catch(
      (thrown: unknown) => thrown,
    )
    t.ok(error instanceof AssertionError, String(error))
    t.match(String(error), message)
  }
}
const t0 = t

t.test('what keeps to itself passes', async (t) => {
  const exercises: Record<string, Exercise> = {
    reads: (db) => db.selectFrom('items').selectAll().execute(),
    'reads through the context': () => currentTenant().db.selectFrom('items').selectAll().execute(),
    writes: async (db) => {
      const id = 1000 + Math.floor(Math.random() * 1e6)
      await db.insertInto('items').values({ id, name: randomUUID() }).execute()
      await db.updateTable('items').set({ quantity: 5 }).execute()
      await db.deleteFrom('items').where('id', '=', id).execute()
    },
    'in transactions and streams': (db) =>
      db.transaction().execute(async (trx) => {
        const rows: unknown[] = []
        for await (const row of trx.selectFrom('items').selectAll().stream()) rows.push(row)
        return [rows, await sql`select count(*) from items`.execute(trx)]
      }),
    'asks for the other': (db, { name }) =>
      db
        .selectFrom('items')
        .selectAll()
        .where('tenant_id', '=', tenants[name === 'a' ? 'b' : 'a'].id)
        .execute(),
  }
  for (const [name, exercise] of Object.entries(exercises)) {
    await assertIsolated({ ...tenants, exercise })
    await assertIsolated({ ...tenants, exercise, superuser })
    t.pass(name)
  }
})

t.test('a leaky view is caught, whatever the exercise returns', async (t) => {
  await caught(
    t,
    async (db) => {
      await sql`select name from all_items`.execute(db)
    },
    /As tenant a, a query returned at \d+\.name a value that stands only in rows of tenant b: "b-.*" \(items\.name\)/,
  )
  await caught(
    t,
    () => sql`select string_agg(name, ',') as names from all_items`.execute(currentTenant().db),
    /names/,
  )
  await caught(
    t,
    (db) =>
      db.transaction().execute(async (trx) => {
        for await (const _row of trx
          .selectFrom(sql<{ name: string }>`all_items`.as('x'))
          .selectAll()
          .stream());
      }),
    /a query returned/,
  )
})

t.test('a SECURITY DEFINER function is caught, in what it reads and in what it writes', async (t) => {
  await caught(t, (db) => sql`select * from everything()`.execute(db), /As tenant a, a query returned/)
  await caught(
    t,
    (db) => sql`select mark_all()`.execute(db),
    /While only tenant a ran, rows of tenant b changed in items: 2 gone or changed, 2 new or changed/,
  )
  await caught(
    t,
    (db, { name }) => sql`select give_away(${tenants[name === 'a' ? 'b' : 'a'].id})`.execute(db),
    /rows of tenant b changed in items: 0 gone or changed, 1 new/,
  )
})

t.test('a cache that all share is caught', async (t) => {
  let cached: unknown
  await caught(
    t,
    async (db) => {
      cached ??= await db.selectFrom('items').selectAll().execute()
      return cached
    },
    /As tenant b, the exercise returned .* only in rows of tenant a/,
  )
  const byName = new Map<string, unknown>()
  await caught(
    t,
    async (db) => {
      if (!byName.has('items')) byName.set('items', await db.selectFrom('items').selectAll().execute())
      return { answer: { items: byName.get('items') } }
    },
    /the exercise returned at answer\.items/,
  )
})

t.test('what is shared only while both run is caught', async (t) => {
  let current = ''
  let calls = 0
  const both = { arrived: Promise.withResolvers<void>(), count: 0 }
  await caught(
    t,
    async (_db, { marker }) => {
      current = marker
      // Of six calls the first four are alone; the last two wait for each other.
      if (calls++ % 6 >= 4) {
        if (++both.count % 2 === 0) {
          both.arrived.resolve()
          both.arrived = Promise.withResolvers()
        } else await both.arrived.promise
      }
      return current
    },
    /As tenant a, the exercise returned a value that stands only in rows of tenant b/,
  )
})

t.test('a raw pool is caught, in what it returns, what it changes and what it throws', async (t) => {
  await caught(t, async () => (await rawPool.query('select * from items')).rows, /the exercise returned/)
  await caught(t, () => rawPool.query('update items set quantity = quantity + 1'), /rows of tenant b changed/)
  await caught(
    t,
    async () => {
      const { rows } = await rawPool.query('select name from items')
      throw new Error(`cannot handle ${rows.map(({ name }) => name).join()}`)
    },
    /the error says at message a value that stands only in rows of tenant b/,
  )
})

t.test('requests of two tenants', async (t) => {
  const app = fastify()
  t.teardown(() => app.close())
  await app.register(fastifyJwt, { secret: 'a jwt secret that is only good for tests' })
  await app.register(freehold, { router })
  let last: unknown
  app.get('/items', (request) => request.db.selectFrom('items').selectAll().execute())
  app.get('/cached', async (request) => {
    last ??= await request.db.selectFrom('items').selectAll().execute()
    return last
  })
  app.get('/header', async (request, reply) => {
    last ??= request.tenant.id
    return reply.header('x-last', String(last)).send({})
  })
  const request =
    (url: string): Exercise =>
    (_db, { id }) =>
      app.inject({ url, headers: { authorization: `Bearer ${app.jwt.sign({ tenant: id })}` } })
  await assertIsolated({ ...tenants, exercise: request('/items') })
  await caught(t, request('/cached'), /As tenant b, the exercise returned at body/)
  last = undefined
  await caught(t, request('/header'), /the exercise returned at headers\.x-last/)
  await caught(
    t,
    async () => new Response(JSON.stringify((await rawPool.query('select * from items')).rows)),
    /the exercise returned at body/,
  )
})

t.test('what would prove nothing, and what goes wrong, is an error', async (t) => {
  const exercise: Exercise = async () => undefined
  const empty = { ...tenants, b: tenants.a }
  await t.rejects(assertIsolated({ ...empty, exercise }), { message: /has no value that is only its own/ })
  await t.rejects(assertIsolated({ ...tenants, tables: [], exercise }), {
    message: /nothing would be proven/,
  })
  await t.rejects(assertIsolated({ ...tenants, exercise, superuser: database.owner }), {
    code: 'config_invalid',
  })
  const broken = new Error('of the product')
  await t.rejects(assertIsolated({ ...tenants, exercise: () => Promise.reject(broken) }), broken)
  const ids = [tenants.a.id, tenants.a.id] as const
  await t.rejects(seedTwoTenants({ router, ids, seed: exercise }), { message: /must differ/ })
  t.equal(await runAs(tenants.a, async (_db, tenant) => tenant.id), tenants.a.id)
  await runAs(tenants.a, () =>
    assertIsolated({ ...tenants, exercise: (db) => db.selectFrom('items').selectAll().execute() }),
  )
})
