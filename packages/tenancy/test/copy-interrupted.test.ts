import { setTimeout as sleep } from 'node:timers/promises'
import { epochSchema } from '@freehold/contract'
import { connectClient, statementName } from '@freehold/postgres'
import { type CopyProgress, copyInto } from '@freehold/tenancy'
import { sql } from 'kysely'
import t from 'tap'
import { setResident } from '../../../test/kit/tenants.ts'
import { count, items, prepareCopyGround } from './copy-ground.ts'
import { allIdle } from './router-ground.ts'

const ground = await prepareCopyGround('copy-interrupted')
t.teardown(() => ground.remove())
const { newTenant, router, source, direct, pool, silo, proxy } = ground

t.test('memory is bounded by how fast the database is', async (t) => {
  const db = router.forTenant(await newTenant())
  let taken = 0
  async function* endless(): AsyncGenerator<{ id: number; name: string }> {
    for (;;) yield { id: taken++, name: 'x'.repeat(1_000) }
  }
  const reports: CopyProgress[] = []
  const abort = new AbortController()
  // The server takes what it is sent as fast as it can; what stands still is the proxy in between.
  const loading = copyInto(db, 'items', ['id', 'name'], endless(), {
    signal: abort.signal,
    onProgress: (progress) => {
      if (reports.push(progress) === 1) proxy.hold()
    },
  })
  const rejected = t.rejects(loading, { name: 'AbortError' })
  let before = -1
  while (taken === 0 || before !== taken) {
    before = taken
    await sleep(200)
  }
  t.ok(taken < 30_000, `${taken} rows were taken from the source while the database took none`)
  proxy.release()
  abort.abort()
  await rejected
  t.equal(await count(db), 0)
  t.ok(reports.every((report, index) => report.bytes > (reports[index - 1]?.bytes ?? 0)))
  await allIdle(t, router)
})

t.test('can be called off', async (t) => {
  const db = router.forTenant(await newTenant())
  const called = AbortSignal.abort(new Error('before'))
  let touched = false
  function* untouched() {
    touched = true
    yield* items(1)
  }
  await t.rejects(copyInto(db, 'items', ['id', 'name'], untouched(), { signal: called }), /before/)
  t.notOk(touched)

  const abort = new AbortController()
  async function* hanging() {
    yield* items(5_000)
    abort.abort(new Error('while the source hangs'))
    await new Promise(() => undefined)
  }
  await t.rejects(
    copyInto(db, 'items', ['id', 'name'], hanging(), { signal: abort.signal }),
    /while the source hangs/,
  )

  // While the database inserts: it waits for a lock.
  const blocker = await connectClient(direct.owner, 'test')
  t.teardown(() => blocker.end())
  await blocker.query('begin; lock table items in exclusive mode')
  const inserting = new AbortController()
  const waiting = t.rejects(
    copyInto(db, 'items', ['id', 'name'], items(1), { signal: inserting.signal }),
    /while it inserts/,
  )
  for (let blocked = 0; blocked === 0; ) {
    blocked = (await blocker.query(`select from pg_locks where not granted`)).rowCount ?? 0
  }
  inserting.abort(new Error('while it inserts'))
  await waiting
  await blocker.query('commit')
  t.equal(await count(db), 0)
  await db.transaction().execute(async (trx) => {
    const failing = await trx.executeQuery(sql`savepoint here`.compile(trx)).then(() => new AbortController())
    async function* stopping() {
      yield* items(10)
      failing.abort(new Error('inside a transaction'))
      await new Promise(() => undefined)
    }
    await t.rejects(
      copyInto(trx, 'items', ['id', 'name'], stopping(), { signal: failing.signal }),
      /inside a transaction/,
    )
    await sql`rollback to savepoint here`.execute(trx)
    await copyInto(trx, 'items', ['id', 'name'], items(1))
  })
  t.equal(await count(db), 1)
  await allIdle(t, router)
})

t.test('is held for a cutover before the first row, and finds the new home', async (t) => {
  const tenantId = await newTenant()
  const db = router.forTenant(tenantId)
  await count(db)
  await setResident(pool, tenantId, 'fenced')
  let taken = 0
  function* rows() {
    for (const row of items(100)) {
      taken++
      yield row
    }
  }
  const loading = copyInto(db, 'items', ['id', 'name'], rows())
  await sleep(50)
  t.equal(taken, 0)
  await setResident(pool, tenantId, 'moved')
  await setResident(silo, tenantId, 'active', 2)
  source.place(silo, tenantId, { epoch: epochSchema.parse(2) })
  t.match(await loading, { rows: 100 })
  t.equal(taken, 100, 'each row was taken once')
  t.equal(await count(db), 100)
  await allIdle(t, router)
})

t.test('a connection that breaks', async (t) => {
  const db = router.forTenant(await newTenant())
  await copyInto(db, 'items', ['id', 'name'], items(1))
  const cutting = async function* () {
    yield* items(10_000, 10)
    proxy.cut()
    yield* items(100_000, 20_000)
  }
  await t.rejects(
    copyInto(db, 'items', ['id', 'name'], cutting()),
    { code: 'database_unavailable' },
    'half way',
  )
  t.equal(await count(db), 1)
  proxy.cutAfter(statementName('commit'))
  await t.rejects(
    copyInto(db, 'items', ['id', 'name'], items(5, 100)),
    { code: 'outcome_unknown' },
    'at the commit',
  )
  await allIdle(t, router)
})
