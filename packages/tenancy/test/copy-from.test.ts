import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { withClient } from '@freehold/postgres'
import { copyFrom, copyInto } from '@freehold/tenancy'
import { type Kysely, sql } from 'kysely'
import t from 'tap'
import { type CopyTables, count, items, prepareCopyGround } from './copy-ground.ts'
import { allIdle } from './router-ground.ts'

const ground = await prepareCopyGround('copy-from')
t.teardown(() => ground.remove())
const { newTenant, router, direct, pool, silo, proxy } = ground

t.test('rows out, as csv and as text', async (t) => {
  for (const [database, schema] of [
    [pool, null],
    [pool, 'own'],
    [silo, null],
  ] as const) {
    const tenantId = await newTenant(database, schema)
    const db = router.forTenant(tenantId)
    const neighbour = router.forTenant(await newTenant(database))
    await copyInto(
      db,
      'items',
      ['id', 'name'],
      [
        [1, 'a,"b"'],
        [2, 'tab\t'],
      ],
    )
    await copyInto(neighbour, 'items', ['id', 'name'], [[1, 'not yours']])
    const text = async (...args: Parameters<typeof read>) => (await read(...args)).toString()
    const query = db.selectFrom('items').select(['id', 'name']).orderBy('id')
    t.equal(await text(db, query), 'id,name\n1,"a,""b"""\n2,tab\t\n')
    t.equal(await text(db, query, { header: false, format: 'csv' }), '1,"a,""b"""\n2,tab\t\n')
    t.equal(await text(db, query, { format: 'text' }), '1\ta,"b"\n2\ttab\\t\n')
    t.equal(
      await text(db, sql`select * from items where id = ${2} and name = ${'tab\t'}`),
      `tenant_id,id,name,quantity\n${tenantId},2,tab\t,0\n`,
    )
    const odd = `'; drop table items; -- $1 \\' $$ \0`.replace('\0', '')
    const echoed = sql`select ${odd}::text as "$1", ${['a', "b'"]}::text[] as list, ${Buffer.from('x\\')}::bytea as bytes, ${null}::int as n, ${7}::int + 1 as eight, '$1' as not_one`
    t.equal(await text(db, echoed), `$1,list,bytes,n,eight,not_one\n${odd},"{a,b'}",\\x785c,,8,$1\n`)
    await db.transaction().execute(async (trx) => {
      await trx.insertInto('items').values({ id: 3, name: 'c' }).execute()
      t.equal(
        await text(trx, trx.selectFrom('items').select('id').orderBy('id'), { header: false }),
        '1\n2\n3\n',
      )
      await trx.deleteFrom('items').where('id', '=', 3).execute()
    })
    t.equal(await text(db, db.deleteFrom('items').where('id', '=', 1).returning('id')), 'id\n1\n', 'a write')
    t.equal(await count(db), 1, 'is committed')
    for (const wrong of [
      'select 1) to stdout; commit; copy (select 1',
      'select 1; select 2',
      'select 1) to program $$x$$ --',
      'select 1 /* x */',
      'select (1',
    ]) {
      await t.rejects(read(db, sql.raw(wrong)), { code: 'invalid_request' }, wrong)
    }
    await t.rejects(read(db, sql`select 1 / 0`), { code: '22012' })
    await t.rejects(read(db, sql`listen x`), { code: '42601' })
  }
  await allIdle(t, router)
})

async function read(
  ...args: [
    db: Kysely<CopyTables>,
    query: Parameters<typeof copyFrom>[1],
    options?: Parameters<typeof copyFrom>[2],
  ]
): Promise<Buffer> {
  const chunks = []
  for await (const chunk of copyFrom(...args)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

t.test('reading out holds nobody up and needs little', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  await copyInto(db, 'items', ['id', 'name'], items(50_000))
  const reading = copyFrom(db, db.selectFrom('items').selectAll())
  t.notOk((await reading.next()).done)
  await withClient(direct.owner, 'test', async (client) => {
    await client.query(`select pg_advisory_lock(freehold.lock_key($1))`, [tenantId])
    t.pass('a cutover gets its lock')
  })
  let bytes = 0
  for await (const chunk of reading) {
    bytes += chunk.length
    t.equal(chunk.at(-1), 10, 'each chunk ends at the end of a line') || t.end()
    if (bytes > 300_000) break
  }
  t.equal(await count(db), 50_000, 'to stop reading leaves everything in order')
  const sink = new PassThrough()
  sink.resume()
  await pipeline(Readable.from(copyFrom(db, db.selectFrom('items').selectAll())), sink)
  const abort = new AbortController()
  const aborted = async () => {
    for await (const _ of copyFrom(db, sql`select repeat('x', 1000) from generate_series(1, 1000000)`, {
      signal: abort.signal,
    })) {
      abort.abort(new Error('enough'))
    }
  }
  await t.rejects(aborted(), /enough/)
  const left = db.transaction().execute(async (trx) => {
    for await (const _ of copyFrom(trx, trx.selectFrom('items').selectAll())) break
    await count(trx)
  })
  await t.rejects(left, { code: 'transaction_lost' }, 'and loses the transaction that it is in')
  const cut = async () => {
    for await (const _ of copyFrom(db, sql`select repeat('x', 1000) from generate_series(1, 1000000)`))
      proxy.cut()
  }
  await t.rejects(cut(), { code: 'database_unavailable' })
  await allIdle(t, router)
})
