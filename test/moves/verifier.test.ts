import { randomUUID } from 'node:crypto'
import type { MoveDetail } from '@freehold/contract'
import { deriveEntryKey, quoteIdentifier, withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import { isEqual } from '../../packages/engine/src/database/checksum.ts'
import { asTenant } from '../../packages/engine/src/database/entered.ts'
import { batchesOf, type Piece } from '../../packages/engine/src/database/pieces.ts'
import { pairTables, readTables } from '../../packages/engine/src/database/tables.ts'
import { comparePieces } from '../../packages/engine/src/move/compare.ts'
import { asSuperuser } from '../kit/databases.ts'
import { TEST_ENTRY_SECRET } from '../kit/moving-ground.ts'
import { exactContent } from './exact-content.ts'
import { leftovers } from './leftovers.ts'
import { prepareZooGround, type ZooGround } from './zoo-ground.ts'
import { fillZoo } from './zoo-rows.ts'

/** What the verification sees, shown by planting differences at the target. docs/protocol.md says the same in words. */
const ground: ZooGround = await prepareZooGround()
t.teardown(() => ground.remove())
t.setTimeout(240_000)
const pool = asSuperuser(ground.us.cluster, 'pool')

const FOREIGN = "another tenant's row"

interface Planted {
  readonly table: string
  /** Run at the target as superuser; `:tenant` stands for the tenant. */
  readonly sql: string
}

const differences: Readonly<Record<string, Planted>> = {
  'one bit of a bytea': {
    table: 'heavy',
    sql: 'update heavy set external = set_bit(external, 77777, 1 - get_bit(external, 77777)) where id = 1',
  },
  'one letter of a large text': {
    table: 'heavy',
    sql: "update heavy set compressed = overlay(compressed placing 'C' from 100000) where id = 1",
  },
  'the last bit of a float': {
    table: 'animals',
    sql: 'update animals set a_float8 = 0.30000000000000010 where id = 8',
  },
  'the sign of a zero': { table: 'animals', sql: 'update animals set a_float4 = 0 where id = 1' },
  'trailing zeros of a numeric': { table: 'animals', sql: 'update animals set a_numeric = 1.0 where id = 3' },
  'both halves of a bigint': { table: 'animals', sql: 'update animals set a_int8 = 4294967297 where id = 3' },
  'a microsecond and its carry': {
    table: 'animals',
    sql: "update animals set a_timestamp = a_timestamp + interval '4294.967297 s' where id = 4",
  },
  'capitals under a collation that ignores them': {
    table: 'animals',
    sql: "update animals set any_case = 'A' where id = 0",
  },
  'trailing blanks': { table: 'animals', sql: "update animals set a_bpchar = 'ab' where id = 1" },
  'the order of the keys of a json': {
    table: 'animals',
    sql: `update animals set a_json = '{"a":2, "a":3, "b" : 1}' where id = 0`,
  },
  'the bounds of an array': {
    table: 'animals',
    sql: "update animals set ints = '{1,2,3}' where id = 2",
  },
  'NULL for the empty string': { table: 'animals', sql: 'update animals set a_text = null where id = 0' },
  'the empty string for NULL': { table: 'animals', sql: "update animals set a_text = '' where id = 9" },
  'a missing row': { table: 'animals', sql: 'delete from animals where id = 4' },
  'an extra row': { table: 'heavy', sql: "insert into heavy values (':tenant', 4711)" },
  'one row more and one less': { table: 'heavy', sql: 'update heavy set id = 4711 where id = 3' },
  'two rows with their values swapped': {
    table: 'heavy',
    sql: `update heavy set (compressed, external) = (
        select compressed, external from heavy other where other.id = 1 - heavy.id) where id in (0, 1)`,
  },
  'two columns with their values swapped': {
    table: 'tree',
    sql: 'alter table tree disable trigger all; update tree set (id, position) = (position + 100, id) where id = 2',
  },
  'an identity': {
    table: 'numbered',
    sql: "update numbered set number = default where code = 'code 1'",
  },
  'a generated column': {
    table: 'animals',
    sql: 'alter table animals alter column words set expression as (lower(a_text))',
  },
  'a virtual generated column': {
    table: 'animals',
    sql: "alter table animals alter column shown set expression as (a_varchar || '?')",
  },
  'a row in a partition': {
    table: 'visits',
    sql: "update visits_in_new set note = 'other' where id = 2 and kind = 'in'",
  },
  [FOREIGN]: {
    table: 'annex.shelf',
    sql: `insert into annex.shelf values ('${randomUUID()}', 1, 'foreign')`,
  },
}

const tenant = await ground.tenant('inspected', 20)
await fillZoo(pool, tenant.id, 0, ground.oldestVersion)

/** Moves the tenant; at each of the barriers its work is done, once. */
async function move(work: Record<string, (move: MoveDetail) => Promise<void>>): Promise<MoveDetail> {
  const started = await ground.startMove(tenant)
  const engine = ground.zooEngine({
    owner: started.id,
    barrier: async (name) => {
      const due = work[name]
      delete work[name]
      await due?.(await ground.catalog.moves.detail(started.id))
    },
  })
  const ended = await ground.ended(started.id)
  await engine.stop()
  return ended
}

const plant = async ({ to }: { readonly to: { readonly database: string } }, { sql }: Planted) =>
  withClient(asSuperuser(ground.eu.cluster, to.database), 'test', async (client) => {
    await client.query("set session_replication_role = 'replica'")
    await client.query(sql.replaceAll(':tenant', tenant.id))
  })

async function failed(t: Test, ended: MoveDetail, table: string, content: Record<string, string[]>) {
  t.equal(ended.phase, 'aborted')
  t.match(ended.error, { code: 'verification_failed', details: { table } })
  t.equal((await ground.catalog.tenants.get(tenant.id)).placement.epoch, tenant.placement.epoch)
  t.same(await exactContent(pool, tenant.id), content, 'the tenant is at its source, as it was')
  t.same(await leftovers(ground, ended), [])
}

const plantings = Object.entries(differences)
/** One for each table; the others are looked for below without a move for each. */
const inMoves = plantings.filter(
  ([, { table }], index) => plantings.findIndex(([, other]) => other.table === table) === index,
)
for (const [name, planted] of inMoves) {
  t.test(`before the verification it sees ${name}`, async (t) => {
    const before = await exactContent(pool, tenant.id)
    await failed(t, await move({ 'verify.entered': (to) => plant(to, planted) }), planted.table, before)
  })
}

const touch = (sql: string) =>
  withClient(pool, 'test', async (client) => {
    await client.query(`${sql} and tenant_id = '${tenant.id}'`)
  })

t.test('after the verification it sees a difference in a row that has changed since', async (t) => {
  const ended = await move({
    'ready.entered': () => touch("update heavy set note = 'changed since' where id = 0"),
    'cutover.entered': (to) =>
      plant(to, { table: 'heavy', sql: 'update heavy set main = null where id = 0' }),
  })
  await failed(t, ended, 'heavy', await exactContent(pool, tenant.id))
})

t.test('after the verification it sees that a row changed since is missing, or there again', async (t) => {
  const missing = await move({
    'ready.entered': () => touch("update odd_keys set note = 'changed since' where small = 1"),
    'cutover.entered': (to) => plant(to, { table: 'odd_keys', sql: 'delete from odd_keys where small = 1' }),
  })
  await failed(t, missing, 'odd_keys', await exactContent(pool, tenant.id))
  const again = await move({
    'ready.entered': () => touch('delete from heavy where id = 5'),
    'cutover.entered': (to) => plant(to, { table: 'heavy', sql: "insert into heavy values (':tenant', 5)" }),
  })
  await failed(t, again, 'heavy', await exactContent(pool, tenant.id))
})

t.test('after the verification it does not see a difference in a row that nobody has changed', async (t) => {
  const planted = { table: 'heavy', sql: "update heavy set note = 'tampered with' where id = 1" }
  const ended = await move({ 'ready.entered': (to) => plant(to, planted) })
  t.equal(ended.phase, 'completed')
  const home = await exactContent(asSuperuser(ground.eu.cluster, ended.to.database), tenant.id)
  t.match(home.heavy?.join(), /tampered with/)
})

t.test('what a verification computes sees every difference, and none where there is none', async (t) => {
  const home = await ground.catalog.placements.home(tenant.id)
  const { epoch, dataDatabaseId, schema } = home
  const entryKey = deriveEntryKey(TEST_ENTRY_SECRET, { tenantId: tenant.id, dataDatabaseId, epoch })
  const side = (database: string) => ground.eu.as('freehold_mover', database)
  let pieces = 0
  /** The tables in which a copy of the home differs from it. */
  const seen = async (planted: Planted | undefined): Promise<string[]> => {
    await maintain(`create database checked template ${quoteIdentifier(home.database)} owner freehold_owner`)
    try {
      if (planted !== undefined) await plant({ to: { database: 'checked' } }, planted)
      return await withClient(side(home.database), 'test', (source) =>
        withClient(side('checked'), 'test', async (target) => {
          const tables = await readTables(source)
          const scope = { tenantId: tenant.id, epoch, entryKey, schema, mover: side(home.database) }
          const pairs = pairTables(tables, await readTables(target))
          const different = async (batches: readonly (readonly Piece[])[]) => {
            const compared = await comparePieces(
              { client: source, scope },
              { client: target, scope },
              batches.flat(),
            )
            const names = compared
              .filter((comparison) => !isEqual(comparison))
              .map((comparison) => comparison.tables.source.table.name)
            return [...new Set(names)]
          }
          const whole = await different([pairs.map((tables) => ({ tables, range: {} }))])
          const batches = await asTenant(source, scope, () => batchesOf(source, pairs, 2, () => 3))
          pieces = batches.length
          t.same((await different(batches)).sort(), [...whole].sort(), 'in pieces as well')
          return whole
        }),
      )
    } finally {
      await maintain('drop database checked')
    }
  }
  t.same(await seen(undefined), [])
  t.ok(pieces > 2 * inMoves.length, `${pieces} pieces`)
  for (const [name, planted] of plantings) {
    // Whose rows there are besides the tenant's is looked at by other means.
    if (name === FOREIGN) continue
    t.same(await seen(planted), [planted.table], name)
  }
})

async function maintain(sql: string): Promise<void> {
  await withClient(asSuperuser(ground.eu.cluster, 'postgres'), 'test', (client) => client.query(sql))
}
