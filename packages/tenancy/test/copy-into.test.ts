import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { withClient } from '@freehold/postgres'
import { type CopyProgress, copyFrom, copyInto } from '@freehold/tenancy'
import { CamelCasePlugin, type Kysely, sql } from 'kysely'
import { from as plainCopy } from 'pg-copy-streams'
import t from 'tap'
import { newTenantId } from '../../../test/kit/tenants.ts'
import { COLUMNS, type CopyTables, count, items, prepareCopyGround } from './copy-ground.ts'
import { allIdle } from './router-ground.ts'

const ground = await prepareCopyGround('copy-into')
t.teardown(() => ground.remove())
const { newTenant, router, direct, pool, silo } = ground

/** The same row, however its values are written. */
const AT = new Date('2026-02-03T04:05:06.789Z')
const VALUES = [
  [
    1,
    'plain',
    1.5,
    AT,
    { a: [1, null, 'x'] },
    Buffer.from([0, 1, 92, 255]),
    ['a', 'b,c', '"q"', '\\', null],
    [
      [1, 2],
      [3, 4],
    ],
    true,
  ],
  [
    2n,
    'tab\there, line\nbreak, return\rand \\N and \\. and back\\slash',
    '123.40',
    AT.toISOString(),
    '[1, 2]',
    Buffer.alloc(0),
    [],
    null,
    false,
  ],
  [
    '3',
    '',
    '-0.01',
    '1999-12-31',
    { text: 'line\n"quoted" \\u0041 😀' },
    null,
    ['', ' ', 'NULL', '{}', 'new\nline'],
    [],
    null,
  ],
  [4, null, null, null, null, null, null, null, null],
  [
    9007199254740993n,
    '\\.',
    'NaN',
    'infinity',
    'true',
    Buffer.from('\\x00'),
    ['ü', '\t'],
    [[1], [2], [3]],
    true,
  ],
  [6, '\b\f\v\u0001 ü€😀', '1e3', '-infinity', '"\\t"', Buffer.from('text'), ['\\N'], null, true],
] as const

for (const [place, database, schema] of [
  ['pool', pool, null],
  ['schema', pool, 'own'],
  ['silo', silo, null],
] as const) {
  t.test(`rows arrive as an insert would write them: ${place}`, async (t) => {
    const db = router.forTenant(await newTenant(database, schema))
    const rows = VALUES.map(byName)
    const insert = sql`insert into facts (id, note, amount, at, data, bytes, tags, matrix, ok) values ${sql.join(
      VALUES.map((values) => sql`(${sql.join(values.map((value) => sql`${value}`))})`),
    )}`
    const everything = async () =>
      (await db.selectFrom('facts').selectAll().orderBy('id').execute()).map(({ serial, ...row }) => row)
    await insert.execute(db)
    const expected = await everything()
    t.equal(expected.length, VALUES.length)
    for (const [kind, given] of [
      ['arrays', VALUES],
      ['objects', rows],
    ] as const) {
      await db.deleteFrom('facts').execute()
      const copied = await copyFacts(db, given)
      t.match(copied, { rows: VALUES.length }, kind)
      t.same(await everything(), expected, kind)
    }
    t.match(expected[0], { touched: 'by default', doubled: '3.00' }, 'defaults and generated columns')
    const { rows: serials } = await sql<{
      n: number
    }>`select count(distinct serial)::int as n from facts`.execute(db)
    t.same(serials, [{ n: VALUES.length }], 'sequences')
    await allIdle(t, router)
  })
}

type AnyFact = { readonly [Column in (typeof COLUMNS)[number]]: unknown }

function byName(values: (typeof VALUES)[number]): AnyFact {
  const [id, note, amount, at, data, bytes, tags, matrix, ok] = values
  return { id, note, amount, at, data, bytes, tags, matrix, ok }
}

function copyFacts(
  db: Kysely<CopyTables>,
  rows: Iterable<(typeof VALUES)[number] | AnyFact>,
): Promise<CopyProgress> {
  return copyInto(db, 'facts', COLUMNS, rows)
}

t.test('a tenant loads into its own rows only', async (t) => {
  for (const [one, other] of [
    [await newTenant(), await newTenant()],
    [await newTenant(pool, 'Other "own"'), await newTenant()],
  ] as const) {
    const a = router.forTenant(one)
    const b = router.forTenant(other)
    t.match(await copyInto(a, 'items', ['id', 'name'], items(3)), { rows: 3 })
    t.match(await copyInto(b, 'items', ['id', 'name'], items(2)), { rows: 2 }, 'the same keys')
    t.match(await copyInto(a, 'items', ['tenant_id', 'id', 'name'], [[one, 3, 'named']]), { rows: 1 })
    await t.rejects(
      copyInto(
        a,
        'items',
        ['tenant_id', 'id', 'name'],
        [
          [one, 4, 'own'],
          [other, 5, 'foreign'],
        ],
      ),
      { code: '42501' },
    )
    t.equal(await count(a), 4)
    t.equal(await count(b), 2)
  }
  const a = router.forTenant(await newTenant())
  await t.rejects(
    copyInto(a, 'own.items' as 'items', ['id', 'name'], items(1)),
    { code: '42501' },
    'another schema',
  )
  await t.rejects(
    copyInto(a.withSchema('own'), 'items', ['id', 'name'], items(1)),
    { code: '42501' },
    'by withSchema',
  )
  t.match(await copyInto(a.withSchema('public'), 'items', ['id', 'name'], items(1)), { rows: 1 })
  for (const table of ['freehold.resident', 'freehold.tenant_schema', 'pg_class', 'pg_settings']) {
    await t.rejects(copyInto(a, table as 'items', ['id'], [[1]]), { code: /42809|42501/ }, table)
  }
  await t.rejects(copyInto(a, 'nowhere' as 'items', ['id'], [[1]]), { code: '42P01' })
  await t.rejects(copyInto(a, 'items', ['id"; drop table items; --' as 'id'], [[1]]), { code: '42703' })
  await t.rejects(copyInto(a, 'items', [], []), { code: 'invalid_request' })
  await allIdle(t, router)
})

t.test('plugins that change names change them here too', async (t) => {
  const camel = ground.newRouter({ kysely: { plugins: [new CamelCasePlugin()] } })
  const tenantId = await newTenant()
  const db = camel.forTenant(tenantId).withTables<{ items: { tenantId: string; id: number; name: string } }>()
  t.match(await copyInto(db, 'items', ['tenantId', 'id', 'name'], [{ tenantId, id: 1, name: 'x' }]), {
    rows: 1,
  })
  const chunks = []
  for await (const chunk of copyFrom(db, db.selectFrom('items').select(['tenantId', 'id'])))
    chunks.push(chunk)
  t.equal(Buffer.concat(chunks).toString(), `tenant_id,id\n${tenantId},1\n`)
})

t.test('all or nothing', async (t) => {
  const db = router.forTenant(await newTenant())
  await copyInto(db, 'items', ['id', 'name'], items(10))
  await t.rejects(copyInto(db, 'items', ['id', 'name'], items(10, 5)), { code: '23505' }, 'a constraint')
  await t.rejects(
    copyInto(db, 'items', ['id', 'name'], [{ id: 'no number' as unknown as number, name: 'x' }]),
    { code: '22P02' },
  )
  await t.rejects(
    copyInto(
      db,
      'items',
      ['id', 'name'],
      [
        [20, 'x'],
        [21, 'nul\0'],
      ],
    ),
    { code: '22021' },
  )
  await t.rejects(copyInto(db, 'items', ['id', 'name'], [[20, 'x'], [21] as unknown as [number, string]]), {
    code: 'invalid_request',
    message: /Row 2 has 1 values for 2 columns/,
  })
  await t.rejects(
    copyInto(
      db,
      'facts',
      ['id', 'note'],
      [
        [1, 'fine'],
        [2, 'refused'],
      ],
    ),
    { code: '23514' },
  )
  await t.rejects(copyInto(db, 'facts', ['id', 'doubled'], [[1, 5]]), { code: '428C9' }, 'a generated column')
  const failure = new Error('of the source')
  async function* failing() {
    yield* items(50_000, 100)
    throw failure
  }
  await t.rejects(copyInto(db, 'items', ['id', 'name'], failing()), failure)
  const circular: Record<string, unknown> = {}
  circular.self = circular
  await t.rejects(copyInto(db, 'facts', ['id', 'data'], [[1, circular]]), /circular/)
  await t.rejects(
    copyInto(db, 'items', ['id', 'name'], items(50_000, 100), {
      onProgress: () => {
        throw failure
      },
    }),
    failure,
  )
  t.equal(await count(db), 10)
  t.match(await copyInto(db, 'items', ['id', 'name'], []), { rows: 0, bytes: 0 }, 'no rows are no error')
  await allIdle(t, router)
})

t.test('inside a transaction', async (t) => {
  const db = router.forTenant(await newTenant())
  await db.transaction().execute(async (trx) => {
    await trx.insertInto('items').values({ id: 0, name: 'x' }).execute()
    t.match(await copyInto(trx, 'items', ['id', 'name'], items(5, 1)), { rows: 5 })
    t.match(await copyInto(trx, 'items', ['id', 'name'], items(5, 6)), { rows: 5 }, 'and again')
    t.equal(await count(trx), 11)
    t.equal(await count(db), 0, 'not yet seen outside')
    const both = [
      copyInto(trx, 'items', ['id', 'name'], items(5, 20)),
      copyInto(trx, 'items', ['id', 'name'], items(5, 30)),
    ]
    await Promise.all(both)
    t.equal(await count(trx), 21, 'two at once')
  })
  t.equal(await count(db), 21)
  const rolledBack = db.transaction().execute(async (trx) => {
    await copyInto(trx, 'items', ['id', 'name'], items(5, 50))
    throw new Error('of the product')
  })
  await t.rejects(rolledBack, /of the product/)
  const trx = await db.startTransaction().execute()
  const before = await trx.savepoint('before').execute()
  await t.rejects(copyInto(before, 'items', ['id', 'name'], items(1)), { code: '23505' })
  await before.rollbackToSavepoint('before').execute()
  await copyInto(trx, 'items', ['id', 'name'], items(1, 60))
  await trx.commit().execute()
  t.equal(await count(db), 22)
  const readOnly = db.transaction().setAccessMode('read only')
  await t.rejects(
    readOnly.execute((trx) => copyInto(trx, 'items', ['id', 'name'], items(1, 70))),
    { code: '25006' },
  )
  for (const level of ['repeatable read', 'serializable'] as const) {
    await db
      .transaction()
      .setIsolationLevel(level)
      .execute((trx) => copyInto(trx, 'items', ['id', 'name'], items(1, level.length + 80)))
  }
  t.equal(await count(db), 24)
  await allIdle(t, router)
})

t.test('nothing is left of where the rows waited', async (t) => {
  const narrow = ground.newRouter({ maxConnectionsPerDatabase: 1, maxConnectionsPerTenant: 1 })
  const a = narrow.forTenant(await newTenant())
  const b = narrow.forTenant(await newTenant())
  await copyInto(a, 'items', ['id', 'name'], items(100))
  await t.rejects(copyInto(a, 'items', ['id', 'name'], items(100)), { code: '23505' })
  const { rows } = await sql`select relname from pg_class where relpersistence = 't'`.execute(b)
  t.same(rows, [])
  await t.rejects(
    sql`create temporary table mine (id int)`.execute(a),
    { code: '42501' },
    'products have no right to others',
  )
  const statements =
    await sql`select statement from pg_prepared_statements where statement like 'insert into%staged_%'`.execute(
      b,
    )
  t.same(statements.rows, [], 'no plan is kept for it')
})

t.test('is no slower than inserts of many rows', async (t) => {
  const rows = 20_000
  const db = router.forTenant(await newTenant())
  await withClient(direct.owner, 'test', async (client) => {
    await client.query('create table bare (like items including all)')
    await client.query('grant insert on bare to freehold_app')
  })
  const seconds = async (work: () => Promise<unknown>) => {
    const start = performance.now()
    await work()
    return (performance.now() - start) / 1_000
  }
  const copied = await seconds(() => copyInto(db, 'items', ['id', 'name'], items(rows)))
  const inserted = await seconds(async () => {
    await db.transaction().execute(async (trx) => {
      for (let from = 0; from < rows; from += 1_000) {
        await trx
          .insertInto('items')
          .values([...items(1_000, rows + from)])
          .execute()
      }
    })
  })
  const tenantId = newTenantId()
  const bare = await seconds(() =>
    withClient(direct.app, 'test', async (client) => {
      const lines = function* () {
        for (const { id, name } of items(rows)) yield `${tenantId}\t${id}\t${name}\n`
      }
      await pipeline(
        Readable.from(lines()),
        client.query(plainCopy('copy bare (tenant_id, id, name) from stdin')),
      )
    }),
  )
  t.comment(
    `${rows} rows: ${Math.round(rows / copied)} a second by copyInto, ${(inserted / copied).toFixed(1)} times the inserts, ` +
      `${(bare / copied).toFixed(2)} of a plain COPY without row security`,
  )
  t.equal(await count(db), 2 * rows)
})
