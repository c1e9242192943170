import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRouteSource } from '@freehold/catalog'
import {
  type FindingCode,
  type Isolation,
  type MoveDetail,
  moveTargetSchema,
  type Tenant,
} from '@freehold/contract'
import { planMove } from '@freehold/engine'
import { POSTGRES_VERSIONS, type PostgresVersion } from '@freehold/local'
import { deriveEntryKey, SQLSTATE, withClient } from '@freehold/postgres'
import { createRouter } from '@freehold/tenancy'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { TEST_ENTRY_SECRET } from '../kit/moving-ground.ts'
import { contentAt, copyOfTenant, databaseOf, remainsOf } from '../kit/tenant-places.ts'
import { startTenantWriter } from '../kit/tenant-writer.ts'
import { digests, exactContent } from './exact-content.ts'
import { prepareZooGround, type ZooGround } from './zoo-ground.ts'
import { fillZoo, stirZoo } from './zoo-rows.ts'

/**
 * Moves between servers of different versions; the catalog is on the first. Unless `FREEHOLD_VERSION_PAIRS` is `all` (`npm run
 * versions`) only some pairs are tried.
 */
const SOME: readonly (readonly [us: PostgresVersion, eu: PostgresVersion])[] = [
  [15, 18],
  [16, 17],
  [17, 15],
]
const ALL = POSTGRES_VERSIONS.flatMap((us) => POSTGRES_VERSIONS.map((eu) => [us, eu] as const))
const everyPair = process.env.FREEHOLD_VERSION_PAIRS === 'all'
t.setTimeout(everyPair ? 1_800_000 : 600_000)
/** A slow machine takes its time; nothing here is about how long. */
const ENDED_WITHIN_MS = 180_000

type Region = 'us' | 'eu'
type Ground = ZooGround & { readonly versions: Readonly<Record<Region, PostgresVersion>> }

for (const [us, eu] of everyPair ? ALL : SOME) {
  t.test(`PostgreSQL ${us} and ${eu}`, async (t) => {
    const versions = { us, eu }
    const ground: Ground = { ...(await prepareZooGround({ versions })), versions }
    t.teardown(() => ground.remove())
    const tenant = await ground.tenant('traveller', 50)
    const twins = [
      await copyOfTenant(ground, tenant, 'us'),
      await copyOfTenant(ground, tenant, 'eu'),
    ] as const
    const neighbours = [tenant, await copyOfTenant(ground, twins[0], 'eu')] as const
    const twinsContent = () => Promise.all(twins.map(({ id, placement }) => contentAt(ground, id, placement)))
    const before = await twinsContent()
    await fillZoo(databaseOf(ground, tenant.placement), tenant.id, 100, ground.oldestVersion)

    const writer = startTenantWriter(ground.us.as('freehold_reader', 'freehold_catalog'), tenant, 2, {
      writesPerSecond: 100,
    })
    await moveAndCompare(t, ground, tenant, { region: 'eu', isolation: 'silo', changeStream: 'logical' }, 100)
    await moveAndCompare(
      t,
      ground,
      tenant,
      { region: 'us', isolation: 'pool', changeStream: 'triggers' },
      110,
    )
    if (everyPair || us > eu) {
      for (const [changeStream, first] of [
        ['logical', 120],
        ['triggers', 140],
      ] as const) {
        const journey = { region: 'eu', isolation: 'silo', changeStream, returns: true } as const
        await moveAndCompare(t, ground, tenant, journey, first)
      }
    }
    const report = await writer.stop()
    t.comment(`${report.acknowledged} writes, longest pause ${report.longestPauseMs.toFixed(1)} ms`)
    t.same(report.failures, [], 'no write failed')
    t.ok(report.acknowledged > 50, 'the tenant was written to')
    t.same(await report.differences(databaseOf(ground, tenant.placement)), [], 'every write is there, once')
    t.same(await twinsContent(), before, 'the others have what they had')
    for (const [index, twin] of twins.entries()) {
      await keptApart(t, ground, twin, neighbours[index] ?? tenant)
      await planWithEachFeature(t, ground, twin)
      await moveToWhatIsTooOld(t, ground, twin)
      await leaveWhatIsTooOld(t, ground, twin)
    }
  })
}

interface Way {
  readonly region: Region
  readonly isolation: Isolation
  readonly changeStream: 'logical' | 'triggers'
  /** Whether it is rolled back. */
  readonly returns?: true
}

/** Moves the tenant while its zoo changes from `first` on, and compares both sides whenever its home changes. */
async function moveAndCompare(
  t: Test,
  ground: Ground,
  { id }: Tenant,
  way: Way,
  first: number,
): Promise<void> {
  const { region, isolation, changeStream, returns = false } = way
  const name = `to ${ground.versions[region]} by ${changeStream}${returns ? ', and back' : ''}`
  await t.test(name, async (t) => {
    const tenant = await ground.catalog.tenants.get(id)
    const from = databaseOf(ground, tenant.placement)
    const target = moveTargetSchema.parse({ isolation, region })
    const move = await ground.startMove(tenant, target, changeStream, {}, returns ? 3_600 : 0)
    const compared: { source: Record<string, string[]>; target: Record<string, string[]> }[] = []
    const engine = ground.zooEngine({
      barrier: async (name) => {
        if (name === 'backfill.copied') await stirZoo(from, id, first, first + 10, ground.oldestVersion)
        if (name !== 'cutover.retired') return
        const { to } = await ground.catalog.moves.get(move.id)
        const [source, target] = [from, databaseOf(ground, to)]
        compared.push({ source: await exactContent(source, id), target: await exactContent(target, id) })
      },
    })
    if (returns) {
      while ((await ground.catalog.moves.get(move.id)).phase !== 'soak') await sleep(50)
      const { to } = await ground.catalog.moves.get(move.id)
      await stirZoo(databaseOf(ground, to), id, first + 10, first + 20, ground.oldestVersion)
      await ground.catalog.operations.requestRollback(move.id)
    }
    const ended = await ground.ended(move.id, ENDED_WITHIN_MS)
    await engine.stop()
    const timeline = ended.events.map(({ phase, message }) => `${phase}: ${message}`)
    t.equal(ended.phase, returns ? 'rolled_back' : 'completed', { timeline })
    t.equal(compared.length, returns ? 2 : 1)
    for (const { source, target } of compared) {
      t.ok((source.animals?.length ?? 0) > 15 && Object.keys(source).length > 15, 'there is much to compare')
      t.same(digests(target), digests(source))
      for (const table of Object.keys(source)) t.same(target[table], source[table], table)
    }
    t.same(await remainsOf(ground, id, returns ? ended.to : tenant.placement), [], 'nothing else is left')
  })
}

/** However a tenant enters through the router, and whatever it runs, it sees and writes its own rows. */
async function keptApart(t: Test, ground: Ground, { id, placement }: Tenant, other: Tenant): Promise<void> {
  const region = placement.region === 'us' ? 'us' : 'eu'
  await t.test(`tenants of one pool of ${ground.versions[region]}`, async (t) => {
    const customersOf = async (tenantId: string) =>
      (await contentAt(ground, tenantId, placement)).customers?.length
    const own = await customersOf(id)
    t.not(await customersOf(other.id), undefined, 'there are rows that it must not see')

    const address = ground.us.as('freehold_reader', 'freehold_catalog')
    const source = createRouteSource({ address, applicationName: 'test' })
    const router = createRouter({ source, entrySecret: TEST_ENTRY_SECRET })
    t.teardown(async () => {
      await router.close()
      await source.close()
    })
    const db = router.forTenant(id)
    const count = sql<{ rows: number }>`select count(*)::int as rows from customers`
    const touch = sql`update customers set name = name`
    t.same((await count.execute(db)).rows, [{ rows: own }], 'a reader')
    t.equal(Number((await touch.execute(db)).numAffectedRows), own, 'a writer')
    for (const level of ['read committed', 'repeatable read', 'serializable'] as const) {
      const found = await db
        .transaction()
        .setIsolationLevel(level)
        .execute(async (trx) => [
          Number((await touch.execute(trx)).numAffectedRows),
          await count.execute(trx),
        ])
      t.match(found, [own, { rows: [{ rows: own }] }], level)
    }
    const forged = sql`insert into customers (tenant_id, email, name) values (${other.id}, 'x@forged.test', 'x')`
    await t.rejects(forged.execute(db), { code: SQLSTATE.insufficientPrivilege }, 'no row for another')

    await withClient(ground[region].as('freehold_app', 'pool'), 'test', async (app) => {
      t.equal((await app.query('select from customers')).rowCount, 0, 'without entry there are no rows')
      const { dataDatabaseId, epoch } = placement
      const keyAt = (atEpoch: number) =>
        deriveEntryKey(TEST_ENTRY_SECRET, { tenantId: id, dataDatabaseId, epoch: atEpoch })
      const enter = (atEpoch: number) =>
        app.query('select freehold.enter_writer($1, $2)', [id, keyAt(atEpoch)])
      await t.rejects(enter(epoch + 1), { code: SQLSTATE.notResident }, 'nobody enters at another epoch')
      await t.resolves(enter(epoch))
    })
  })
}

/** What a table may have on a newer server and cannot have on an older one. */
const FEATURES: readonly {
  readonly since: PostgresVersion
  readonly subject: string
  readonly table: string
}[] = [
  {
    since: 17,
    subject: 'identity column number of a partitioned table',
    table:
      '(tenant_id uuid, number int generated always as identity, primary key (tenant_id, number)) partition by hash (number)',
  },
  {
    since: 18,
    subject: 'virtual generated column twice',
    table:
      '(tenant_id uuid, id int, twice int generated always as (id * 2) virtual, primary key (tenant_id, id))',
  },
  {
    since: 18,
    subject: 'temporal key newer_key',
    table:
      '(tenant_id uuid primary key, at int4range, during int4range, constraint newer_key unique (at, during without overlaps))',
  },
  {
    since: 18,
    subject: 'constraint positive, which is not enforced',
    table:
      '(tenant_id uuid, id int constraint positive check (id > 0) not enforced, primary key (tenant_id, id))',
  },
]

/** What the product may be made with on a newer server and cannot on an older one: as PostgreSQL's own functions, and as syntax. */
const ROUTINES: readonly {
  readonly since: PostgresVersion
  readonly found: string
  readonly make: string
  readonly drop: string
}[] = [
  {
    since: 18,
    found: 'newer: the default of id uses uuidv7()',
    make: "create table newer (tenant_id uuid, id uuid default uuidv7(), primary key (tenant_id, id)); select freehold.protect_table('newer')",
    drop: 'drop table newer',
  },
  {
    since: 17,
    found: 'newer: generated column bits uses to_bin(integer)',
    make: "create table newer (tenant_id uuid, id int, bits text generated always as (to_bin(id)) stored, primary key (tenant_id, id)); select freehold.protect_table('newer')",
    drop: 'drop table newer',
  },
  {
    since: 17,
    found: 'newer_view: its query uses JSON_EXISTS, JSON_VALUE, JSON_QUERY or JSON_TABLE',
    make: "create view newer_view with (security_invoker) as select json_value(address, '$.n') from customers",
    drop: 'drop view newer_view',
  },
  {
    since: 16,
    found: 'newer_type: constraint newer_json uses IS JSON',
    make: 'create domain newer_type as text constraint newer_json check (value is json)',
    drop: 'drop domain newer_type',
  },
  {
    since: 16,
    found: 'newer_sample: its body uses array_sample(anyarray, integer)',
    make: 'create function newer_sample(text[]) returns text[] begin atomic select array_sample($1, 1); end',
    drop: 'drop function newer_sample',
  },
]

/** Plans a move to the other server, by itself and with each feature that the tenant's own server has. */
async function planWithEachFeature(t: Test, ground: Ground, tenant: Tenant): Promise<void> {
  const [here, there] = tenant.placement.region === 'us' ? (['us', 'eu'] as const) : (['eu', 'us'] as const)
  const [from, to] = [ground.versions[here], ground.versions[there]]
  const about: readonly FindingCode[] = [
    'server_older',
    'server_untested',
    'server_unsupported',
    'feature_missing',
    'routine_missing',
    'value_unsupported',
  ]
  const found = async () => {
    const { plan } = await planMove(ground.catalog, {
      tenantIdOrSlug: tenant.id,
      target: moveTargetSchema.parse({ isolation: 'silo', region: there }),
      changeStream: 'auto',
      rollbackWindowSeconds: 0,
      entrySecret: TEST_ENTRY_SECRET,
    })
    return plan.findings.filter(({ code }) => about.includes(code)).map(({ found }) => found)
  }
  await t.test(`planned from ${from} to ${to}`, async (t) => {
    const older = to < from ? [`${there}-1 runs PostgreSQL ${to}, ${here}-1 ${from}.`] : []
    t.same(await found(), older)
    for (const { since, subject, table } of FEATURES.filter((feature) => feature.since <= from)) {
      const owner = ground[here].as('freehold_owner', 'pool')
      const run = (sql: string) => withClient(owner, 'test', (client) => client.query(sql))
      await run(`create table newer ${table}; select freehold.protect_table('newer')`)
      const missing = `newer has the ${subject}, which PostgreSQL has since ${since}; ${there}-1 is older.`
      t.same(await found(), since > to ? [missing, ...older] : older, subject)
      await run('drop table newer')
    }
    for (const { since, found: what, make, drop } of ROUTINES.filter((routine) => routine.since <= from)) {
      const owner = ground[here].as('freehold_owner', 'pool')
      const run = (sql: string) => withClient(owner, 'test', (client) => client.query(sql))
      await run(make)
      const missing = `${what}, which PostgreSQL ${to} on ${there}-1 does not have.`
      t.same(await found(), since > to ? [missing, ...older] : older, what)
      await run(drop)
    }
    if (from < 17) return
    const run = (sql: string) =>
      withClient(databaseOf(ground, tenant.placement), 'test', (client) => client.query(sql, [tenant.id]))
    await run("insert into animals (tenant_id, id, a_interval) values ($1, 1, '-infinity')")
    const infinite = `animals: a_interval has an infinite interval, and PostgreSQL ${to} on ${there}-1 cannot hold one.`
    t.same(await found(), to < 17 ? [infinite, ...older] : older)
    await run('delete from animals where tenant_id = $1')
  })
}

/** What no plan can see: a value that is written afterwards, and a migration whose work a later one has undone. */
async function moveToWhatIsTooOld(t: Test, ground: Ground, tenant: Tenant): Promise<void> {
  const [here, there] = tenant.placement.region === 'us' ? (['us', 'eu'] as const) : (['eu', 'us'] as const)
  const [from, to] = [ground.versions[here], ground.versions[there]]
  const source = databaseOf(ground, tenant.placement)
  const before = await contentAt(ground, tenant.id, tenant.placement)
  const refused = async (
    t: Test,
    changeStream: 'logical' | 'triggers',
    at: string,
    happens: () => Promise<void>,
  ) => {
    const target = moveTargetSchema.parse({ isolation: 'silo', region: there })
    const move = await ground.startMove(tenant, target, changeStream)
    const engine = ground.zooEngine({
      barrier: async (name) => {
        if (name === at) await happens()
      },
    })
    const ended = await ground.ended(move.id, ENDED_WITHIN_MS)
    await engine.stop()
    t.equal(ended.phase, 'aborted')
    t.notMatch(ended.events.map(({ message }) => message).join(), /Interrupted/, 'it was not tried again')
    t.same(await remainsOf(ground, tenant.id, ended.to), [], 'nothing is left')
    return ended.error
  }
  if (from >= 17 && to < 17) {
    for (const [changeStream, at] of [
      ['logical', 'provisioning.entered'],
      ['logical', 'backfill.entered'],
      ['triggers', 'backfill.entered'],
    ] as const) {
      await t.test(
        `an infinite interval, written at ${at}, followed by ${changeStream}, to ${to}`,
        async (t) => {
          const run = (sql: string) => withClient(source, 'test', (client) => client.query(sql, [tenant.id]))
          const error = await refused(t, changeStream, at, async () => {
            await run("insert into animals (tenant_id, id, a_interval) values ($1, 1, 'infinity')")
          })
          t.match(error, { code: 'value_refused', details: { sqlstate: '22007' } })
          const kept = await run("select a_interval = 'infinity' as kept from animals where tenant_id = $1")
          t.same(kept.rows, [{ kept: true }], 'it is where it was')
          await run('delete from animals where tenant_id = $1')
        },
      )
    }
  }
  if (from === 18 && to < 18) {
    await t.test(`a migration that needs 18, to ${to}`, async (t) => {
      const file = join(ground.product, '0005_newer.sql')
      await writeFile(file, 'create table newer (id uuid default uuidv7()); drop table newer')
      const error = await refused(t, 'logical', 'planned.entered', async () => undefined)
      await rm(file)
      t.match(error, {
        code: 'migration_failed',
        details: { migration: '0005_newer.sql', sqlstate: '42883' },
      })
      t.match(error?.detail, /function uuidv7\(\) does not exist/)
    })
  }
  t.same(await contentAt(ground, tenant.id, tenant.placement), before, 'the tenant is as it was')
}

/** In its rollback window the tenant writes what its old home cannot hold: there is no way back, which is said at once. */
async function leaveWhatIsTooOld(t: Test, ground: Ground, tenant: Tenant): Promise<void> {
  const [here, there] = tenant.placement.region === 'us' ? (['us', 'eu'] as const) : (['eu', 'us'] as const)
  const [from, to] = [ground.versions[here], ground.versions[there]]
  if (from >= 17 || to < 17 || !(everyPair || to === 18)) return
  await t.test(`an infinite interval, written in the rollback window, back to ${from}`, async (t) => {
    const target = moveTargetSchema.parse({ isolation: 'silo', region: there })
    const move = await ground.startMove(tenant, target, 'logical', {}, 3_600)
    const engine = ground.zooEngine({})
    const inWindow = await ground.endedOr(move.id, ({ phase }) => phase === 'soak', ENDED_WITHIN_MS)
    t.equal(inWindow.phase, 'soak')
    const write = "insert into animals (tenant_id, id, a_interval) values ($1, 1, 'infinity')"
    await withClient(databaseOf(ground, inWindow.to), 'test', (client) => client.query(write, [tenant.id]))
    const isUnsafe = ({ rollback }: MoveDetail) => rollback?.state === 'unsafe'
    const unsafe = await ground.endedOr(move.id, isUnsafe, ENDED_WITHIN_MS)
    t.match(unsafe.rollback, {
      problem: { code: 'rollback_unsafe', details: { cause: 'value_refused', sqlstate: '22007' } },
    })
    t.notMatch(unsafe.events.map(({ message }) => message).join(), /Interrupted/, 'it was not tried again')
    await ground.catalog.operations.requestFinalize(move.id)
    t.equal((await ground.ended(move.id, ENDED_WITHIN_MS)).phase, 'completed')
    await engine.stop()
    t.same(await remainsOf(ground, tenant.id, tenant.placement), [], 'nothing is left')
  })
}
