// A Kysely instance that is kept survives a move, under load. And leaks 25 and 27: what a move may leave behind or
// make up; by their numbers in docs/isolation.md.

import { createRouteSource } from '@freehold/catalog'
import type { MoveDetail, Tenant } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import { createRouter, type Router } from '@freehold/tenancy'
import { type Kysely, sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { ChangeWriter } from '../../packages/engine/src/stream/change-writer.ts'
import { asSuperuser } from '../kit/databases.ts'
import { prepareMovingGround, TEST_ENTRY_SECRET } from '../kit/moving-ground.ts'
import { tenantContent } from '../kit/tenant-content.ts'
import { type Shop, startKeptLoad } from './leaks/kept-load.ts'
import { withMethod } from './leaks/mutations.ts'

t.setTimeout(240_000)
const ground = await prepareMovingGround()
t.teardown(() => ground.remove())
const pool = asSuperuser(ground.us.cluster, 'pool')
/** Its orders have the first numbers that there are. */
const first = await ground.tenant('first', 30)

function openRouter(): { router: Router<Shop>; close(): Promise<void> } {
  const address = ground.us.as('freehold_reader', 'freehold_catalog')
  const source = createRouteSource({ address, applicationName: 'test' })
  const router = createRouter<Shop>({
    source,
    entrySecret: TEST_ENTRY_SECRET,
    holdDeadlineMs: 60_000,
    connectionWaitMs: 60_000,
  })
  return {
    router,
    close: async () => {
      await router.close()
      await source.close()
    },
  }
}

/** Where a tenant's rows are now, as it sees itself. */
async function whereabouts(db: Kysely<Shop>): Promise<unknown> {
  const { rows } = await sql`select current_database() as database, inet_server_port() as port`.execute(db)
  return rows[0]
}

/** Moves a tenant to a silo, with an engine of its own. @param change made when everything has been copied. */
async function move(
  tenant: Tenant,
  change: () => Promise<unknown> = async () => undefined,
): Promise<MoveDetail> {
  const engine = ground.engine({
    barrier: async (name) => {
      if (name === 'verify.entered') await change()
    },
  })
  engine.start()
  try {
    return await ground.ended((await ground.startMove(tenant)).id)
  } finally {
    await engine.stop()
  }
}

t.test('a Kysely instance that is kept survives a move, under load', async (t) => {
  const customers = 400
  const tenant = await ground.tenant('kept', customers)
  const neighbour = await ground.tenant('neighbour', 50)
  const before = await tenantContent(pool, neighbour.id)
  const { router, close } = openRouter()
  t.teardown(close)
  const db = router.forTenant(tenant.id)
  t.same(await whereabouts(db), { database: 'pool', port: ground.us.cluster.port })

  const load = startKeptLoad(db, customers)
  await load.progress(3)
  const ended = await move(tenant)
  await load.progress(3)
  await load.stop()

  t.equal(ended.phase, 'completed')
  t.same(load.wrong, [], 'nothing failed, and every answer was right')
  t.comment(Object.fromEntries(load.done))
  const silo = asSuperuser(ground.eu.cluster, ended.to.database)
  t.same(
    await load.differences(silo),
    [],
    'nothing that was acknowledged is lost, and nothing is there twice',
  )
  t.same(await tenantContent(pool, tenant.id), {}, 'and nothing has stayed')
  t.same(await whereabouts(db), { database: ended.to.database, port: ground.eu.cluster.port })
  t.equal(router.forTenant(tenant.id), db, 'it is the instance of the beginning')
  t.same(await tenantContent(pool, neighbour.id), before, 'the neighbour is as it was')
})

/** Places an order in the tenant's home; its number is the next of the sequence. */
async function placeOrder(tenant: Tenant): Promise<string> {
  const { router, close } = openRouter()
  try {
    const db = router.forTenant(tenant.id)
    const { id } = await db.selectFrom('customers').select('id').limit(1).executeTakeFirstOrThrow()
    const order = { customer_id: id, currency: 'EUR', total: 0, reference: 'after the move' }
    await db.insertInto('orders').values(order).execute()
    return 'placed'
  } catch (error) {
    return String(error)
  } finally {
    await close()
  }
}

/** A move that leaves the sequences of the target where they begin. */
function withoutSequences<T>(work: () => Promise<T>): Promise<T> {
  return withMethod(
    pg.Client.prototype,
    'query',
    (original) =>
      function (...given) {
        const { text } = Object(given[0])
        const isAlignment = typeof text === 'string' && text.includes('setval(sequence, last_value')
        return isAlignment ? Promise.resolve({ rows: [] }) : original.apply(this, given)
      },
    work,
  )
}

t.test('25: numbers go on where they stood', async (t) => {
  const aligned = await ground.tenant('aligned', 30)
  t.equal((await move(aligned)).phase, 'completed')
  for (let times = 0; times < 3; times++) t.equal(await placeOrder(aligned), 'placed')

  t.equal((await withoutSequences(() => move(first))).phase, 'completed')
  t.match(await placeOrder(first), 'order_number_is_unique', 'without it they begin again, and collide')
})

/** A value that was too long to be sent again is taken for null. */
function withoutUntouchedValues<T>(work: () => Promise<T>): Promise<T> {
  return withMethod(
    ChangeWriter.prototype,
    'statement',
    (original) =>
      function (...given) {
        const change = Object(given[0])
        const row = Array.isArray(change.row) ? change.row.map((value: unknown) => value ?? null) : change.row
        return original.call(this, { ...change, row })
      },
    work,
  )
}

/** Every customer has an address so long that it is kept elsewhere. @returns renames them all, and leaves that. */
async function lengthenAddresses({ id }: Tenant): Promise<() => Promise<unknown>> {
  const run = (text: string) => withClient(pool, 'test', (client) => client.query(text, [id]))
  await run(
    `update customers set address = jsonb_build_object('street', (
       select string_agg(md5(customers.id::text || n || random()), '') from generate_series(1, 600) n))
     where tenant_id = $1`,
  )
  return () => run(`update customers set name = name || ' again' where tenant_id = $1`)
}

t.test('27: a long value that a change leaves alone', async (t) => {
  const long = await ground.tenant('long', 20)
  const rename = await lengthenAddresses(long)
  const kept = await tenantContent(pool, long.id)
  const ended = await move(long, rename)
  t.equal(ended.phase, 'completed')
  const silo = await tenantContent(asSuperuser(ground.eu.cluster, ended.to.database), long.id)
  const addresses = (content: Record<string, string[]>) =>
    (content.customers ?? []).map((row) => JSON.stringify(JSON.parse(row).address)).sort()
  t.same(addresses(silo), addresses(kept))
  t.ok(
    silo.customers?.every((row) => / again"/.test(row)),
    'all of them were changed on the way',
  )

  const lost = await ground.tenant('lost', 20)
  const change = await lengthenAddresses(lost)
  const aborted = await withoutUntouchedValues(() => move(lost, change))
  t.match(
    aborted,
    { phase: 'aborted', error: { code: 'verification_failed' } },
    'taken for null, it is missed',
  )
})
