// I3, by chance: random queries of two tenants over shared tables, compared with databases that hold each tenant alone.
// FREEHOLD_FUZZ_QUERIES says how many. Unless FREEHOLD_FUZZ_SEED says otherwise they are the same each time, so that what
// fails is what has been changed; `random` takes others. FREEHOLD_FUZZ_ROUND begins at a later round.

import { randomBytes } from 'node:crypto'
import { tenantIdSchema } from '@freehold/contract'
import { createRouter, type Router, type RouterOptions } from '@freehold/tenancy'
import type { JoinNode } from 'kysely'
import t from 'tap'
import { TableCatalog } from '../../packages/tenancy/src/predicates/declared-tables.ts'
import { TenantPredicates } from '../../packages/tenancy/src/predicates/tenant-predicates.ts'
import { startPreparedCluster } from '../kit/control-plane.ts'
import { ControlledSource, type TestDatabase, testEntrySecret } from '../kit/tenants.ts'
import {
  contentOf,
  createDatabaseOf,
  createSharedDatabase,
  plainKysely,
  predicateKysely,
  refill,
  saltOf,
} from './fuzz/databases.ts'
import { type Fuzz, fuzz, type Lane } from './fuzz/fuzz.ts'
import type { Loose } from './fuzz/scope.ts'
import type { Way } from './fuzz/script.ts'
import { TABLES } from './fuzz/tables.ts'

/** Ten thousand take less than a minute on two idle cores; more may be asked for. */
const TIMEOUT_MS = 900_000
const queries = Number(process.env.FREEHOLD_FUZZ_QUERIES ?? 10_000)
const asked = process.env.FREEHOLD_FUZZ_SEED ?? 'freehold'
const seed = asked === 'random' ? randomBytes(4).toString('hex') : asked
t.setTimeout(TIMEOUT_MS)
t.comment(`FREEHOLD_FUZZ_SEED=${seed} FREEHOLD_FUZZ_QUERIES=${queries}`)

// Fixed, so that a failure that is replayed shows the same SQL.
const tenants = ['a', 'b'].map((name) => tenantIdSchema.parse(`00000000-0000-4000-8000-00000000000${name}`))
const prepared = await startPreparedCluster('fuzz')
const closing: (() => Promise<unknown>)[] = []
t.teardown(async () => {
  await Promise.all(closing.map((close) => close()))
  await prepared.cluster.remove()
})

const alone = await Promise.all(
  tenants.map(async (tenant, index) => {
    const database = await createDatabaseOf(prepared, `alone_${index}`, tenant, saltOf(index))
    const db = plainKysely<Loose>(database)
    closing.push(() => db.destroy())
    return { database, db }
  }),
)

function routerTo(database: TestDatabase, options: Partial<RouterOptions> = {}): Router<Loose> {
  const source = new ControlledSource()
  for (const tenant of tenants) source.place(database, tenant)
  const router = createRouter<Loose>({ source, entrySecret: testEntrySecret, ...options })
  closing.push(() => router.close())
  return router
}

/** Lanes of both tenants into shared databases, and the checkpoint that compares all that they hold. */
function setUp(
  databases: readonly TestDatabase[],
  waysOf: (tenant: string) => readonly (readonly Way[])[],
): Pick<Fuzz, 'lanes' | 'reset' | 'checkpoint'> {
  const lanes = tenants.flatMap((tenant, index): Lane[] => {
    const [own, foreign] = [alone[index], tenants[1 - index]]
    if (!own || !foreign) return []
    const way = { name: 'alone', db: own.db, handWritten: false, streams: false }
    return [{ name: `tenant ${index}`, tenant, foreign, alone: way, shared: waysOf(tenant) }]
  })
  const checkpoint = async () => {
    for (const [index, tenant] of tenants.entries()) {
      const own = alone[index]?.database
      if (!own) continue
      const right = await contentOf(own, tenant)
      for (const database of databases) {
        const found = await contentOf(database, tenant)
        if (found !== right) return `tables of ${tenant} in ${database.name}:\n${found}\nalone:\n${right}`
      }
    }
    return undefined
  }
  const reset = async () => {
    for (const [index, own] of alone.entries()) {
      await refill(
        own.database,
        tenants.map((tenant, at) => (at === index ? tenant : null)),
      )
    }
    for (const database of databases) await refill(database, tenants)
  }
  return { lanes, reset, checkpoint }
}

t.test('each tenant has what it would have alone', { timeout: TIMEOUT_MS }, async (t) => {
  const [pool, bare] = await Promise.all([
    createSharedDatabase(prepared, 'pool', 'protected', tenants),
    createSharedDatabase(prepared, 'bare', 'disabled', tenants),
  ])
  const [plain, both, predicates] = [
    routerTo(pool),
    routerTo(pool, { tables: TABLES }),
    routerTo(bare, { tables: TABLES }),
  ]
  const started = performance.now()
  const result = await fuzz({
    seed,
    queries,
    between: 500,
    firstRound: Number(process.env.FREEHOLD_FUZZ_ROUND ?? 0),
    ...setUp([pool, bare], (tenant) => [
      [
        { name: 'row security', db: plain.forTenant(tenant), handWritten: false, streams: true },
        {
          name: 'row security and predicates',
          db: both.forTenant(tenant),
          handWritten: false,
          streams: true,
        },
      ],
      [{ name: 'predicates', db: predicates.forTenant(tenant), handWritten: true, streams: true }],
    ]),
  })
  t.comment(
    `${result.queries} statements, ${result.failed} of them fail, ${Math.round(performance.now() - started)} ms`,
  )
  t.equal(result.failure, undefined, 'no difference')
  t.ok(result.queries >= queries)
  t.ok(result.failed < result.queries / 4, 'most of them do something')
})

// Each guard taken away: the same work finds it out soon.

const SOON = 1_000
const FOUND = /another tenant's row was read|another result/

t.test('counter-test: a policy that lets everything through', { timeout: TIMEOUT_MS }, async (t) => {
  const open = await createSharedDatabase(prepared, 'permissive', 'permissive', tenants)
  const router = routerTo(open)
  const result = await fuzz({
    seed: 'permissive',
    queries: SOON,
    between: SOON,
    ...setUp([open], (tenant) => [
      [{ name: 'no wall', db: router.forTenant(tenant), handWritten: false, streams: true }],
    ]),
  })
  t.comment(`found within ${result.queries} statements`)
  t.match(result.failure, FOUND)
})

class JoinsForgotten extends TenantPredicates {
  protected override join(join: JoinNode): JoinNode {
    return join
  }
}

t.test('counter-test: predicates that forget joins', { timeout: TIMEOUT_MS }, async (t) => {
  const bare = await createSharedDatabase(prepared, 'forgotten', 'disabled', tenants)
  const tables = new TableCatalog(TABLES)
  for (const [forget, Predicates] of [
    [false, TenantPredicates],
    [true, JoinsForgotten],
  ] as const) {
    const result = await fuzz({
      seed: 'forgotten',
      queries: SOON,
      between: SOON,
      ...setUp([bare], (tenant) => {
        const db = predicateKysely<Loose>(bare, new Predicates(tables, tenant))
        closing.push(() => db.destroy())
        return [[{ name: 'predicates', db, handWritten: true, streams: false }]]
      }),
    })
    t.comment(`${forget ? 'found' : 'nothing'} within ${result.queries} statements`)
    if (forget) t.match(result.failure, FOUND)
    else t.equal(result.failure, undefined, 'no difference')
  }
})
