import {
  type MovePlan,
  type MoveTarget,
  moveTargetSchema,
  type Placement,
  type Tenant,
} from '@freehold/contract'
import { planMove } from '@freehold/engine'
import { type DatabaseAddress, withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { prepareMovingGround, TEST_ENTRY_SECRET } from '../kit/moving-ground.ts'
import { databaseOf } from '../kit/tenant-places.ts'

/** What a plan says of a move is held against what the move then takes; not how long, which is the machine's affair. */
const ground = await prepareMovingGround()
t.teardown(() => ground.remove())
t.setTimeout(300_000)

const pools = { us: asSuperuser(ground.us.cluster, 'pool'), eu: asSuperuser(ground.eu.cluster, 'pool') }

async function numberFrom(on: DatabaseAddress, sql: string): Promise<number> {
  return withClient(on, 'test', async (client) => Number((await client.query(sql)).rows[0].number))
}

/** What the tables of tenants take, in a schema or in all of them, with indexes and whatever else. */
const tableBytes = (on: DatabaseAddress, schema: string) =>
  numberFrom(
    on,
    `select sum(pg_total_relation_size(pg_class.oid)) as number
     from pg_class join pg_namespace on pg_namespace.oid = relnamespace
     where relkind = 'r' and nspname = '${schema}'`,
  )

async function plan(tenant: Tenant, target: MoveTarget): Promise<MovePlan> {
  const { plan } = await planMove(ground.catalog, {
    tenantIdOrSlug: tenant.id,
    target,
    rollbackWindowSeconds: 0,
    entrySecret: TEST_ENTRY_SECRET,
  })
  return plan
}

/** The tables are those of a tenant with some thousands of rows, and of products with a long text. */
async function tenantWith(slug: string, customers: number, text: string): Promise<Tenant> {
  const tenant = await ground.tenant(slug, customers)
  await withClient(pools.us, 'test', async (client) => {
    await client.query(
      `insert into products (tenant_id, sku, name, currency, price, description, image_digest)
       select $1, 'long-' || k, 'Long ' || k, 'EUR', k, (${text}), sha256(k::text::bytea) from generate_series(1, 1000) k`,
      [tenant.id],
    )
    await client.query('analyze')
  })
  return tenant
}

function isAbout(t: Test, estimated: number, taken: number, what: string): void {
  t.ok(estimated > taken / 2 && estimated < taken * 2, `${what}: about ${estimated}, and then ${taken}`)
}

const [silo, schema, pool] = (['silo', 'schema', 'pool'] as const).map((isolation) =>
  moveTargetSchema.parse({ isolation, region: 'eu' }),
)
const SHORT = "'n ' || k"
/** Of random digits, which are kept as they are. */
const DIGITS = "select string_agg(md5(n || '-' || k), '') from generate_series(1, 100) n"
/** As documents are: kept in much less than it is long. */
const REPETITIVE = `select jsonb_agg(jsonb_build_object('id', n * k, 'name', 'item ' || n, 'state', 'shipped'))::text
  from generate_series(1, 150) n`

for (const [slug, target, customers, text] of [
  ['rows', silo, 3_000, SHORT],
  ['long-rows', silo, 100, DIGITS],
  ['packed-rows', silo, 100, REPETITIVE],
  ['packed-rows-of-own', schema, 100, REPETITIVE],
  ['rows-in-pool', pool, 1_000, SHORT],
] as const) {
  t.test(`a plan is about right: ${slug}`, async (t) => {
    if (target === undefined) throw new Error('no target')
    const tenant = await tenantWith(slug, customers, text)
    const empty = await numberFrom(pools.eu, "select pg_database_size('template1') as number")
    const before = await tableBytes(pools.eu, 'public')
    const { estimates, tables } = await plan(tenant, target)
    if (estimates === null) throw new Error('nothing is estimated')
    const engine = ground.engine()
    engine.start()
    const ended = await ground.ended((await ground.startMove(tenant, target)).id)
    await engine.stop()
    t.equal(ended.phase, 'completed')

    isAbout(t, estimates.rows, ended.progress.rowsCopied, 'rows')
    isAbout(t, estimates.bytes, ended.progress.bytesCopied, 'bytes')
    for (const { table, rowsCopied, bytesCopied } of ended.progress.tables) {
      const known = tables.find((each) => each.table === table)
      t.equal(known?.rowsEstimated, rowsCopied, `rows of ${table}`)
      isAbout(t, known?.bytesEstimated ?? 0, bytesCopied, `bytes of ${table}`)
    }
    const home: Placement = await ground.catalog.placements.home(tenant.id)
    const taken = await tableBytes(databaseOf(ground, home), home.schema)
    const { targetBytes } = estimates.extraDisk
    if (home.isolation === 'silo') {
      isAbout(t, targetBytes - empty, taken, 'disk of the tables')
      const all = await numberFrom(
        databaseOf(ground, home),
        'select pg_database_size(current_database()) as number',
      )
      isAbout(t, targetBytes, all, 'disk of the database')
    } else isAbout(t, targetBytes, taken - (home.isolation === 'pool' ? before : 0), 'disk of the tables')
  })
}
