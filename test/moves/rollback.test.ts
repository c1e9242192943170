import type { ChangeStreamChoice, Move, MoveDetail, Tenant } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import { quoteLiteral, withClient } from '@freehold/postgres'
import t from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { moveTraces } from '../kit/move-traces.ts'
import { type MovingGround, prepareMovingGround } from '../kit/moving-ground.ts'
import { keepFailing, relay } from '../kit/relay.ts'
import {
  inWindow,
  moveThat,
  openWindow,
  PATIENCE_MS,
  said,
  soaked,
  soaking,
  WINDOW_SECONDS,
} from '../kit/rollback-window.ts'
import { tenantContent } from '../kit/tenant-content.ts'
import { startTenantWriter } from '../kit/tenant-writer.ts'

const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())
const reader = ground.us.as('freehold_reader', 'freehold_catalog')
const pool = asSuperuser(ground.us.cluster, 'pool')
const silo = (move: Pick<Move, 'to'>) => asSuperuser(ground.eu.cluster, move.to.database)

/** How the changes of the new home are carried back to the old one, and before that those of the old one to the new. */
const STREAMS = ['logical', 'triggers'] as const satisfies readonly ChangeStreamChoice[]

/** Where a worker may stand still for ever, or die, one after the other. */
const ON_THE_WAY_BACK = [
  'ready.recorded',
  'ready.begun',
  'ready.stream_back_created',
  'cutover.frozen',
  'cutover.activated',
  'soak.entered',
  'soak.turned',
  'soak.expected',
  'soak.applying',
  'rolling_back.entered',
  'rolling_back.verified',
  'cutover.intended',
  'cutover.fenced',
  'cutover.drained',
  'cutover.sealed',
  'cutover.frozen',
  'cutover.home_switched',
  'cutover.retired',
  'cutover.activated',
  'rolling_back.released',
  'finalize.database_dropped',
]
const TO_THE_END = ['soak.applying', 'finalize.entered', 'finalize.released', 'finalize.batch_purged']

for (const by of STREAMS) {
  t.test(
    `a stream back that is lost makes the rollback unsafe, and the move can be finalized, by ${by}`,
    async (t) => {
      const tenant = await ground.tenant(`stranded-${by}`, 50)
      const { move, engine } = await openWindow(ground, tenant, 'eu', by)
      const { id } = move
      t.match(move.rollback, { seconds: WINDOW_SECONDS, state: 'open', problem: null })
      await loseStreamBack[by](move)
      const unsafe = await moveThat(ground, id, ({ rollback }) => rollback?.state === 'unsafe')
      t.match(unsafe.rollback?.problem, { code: 'rollback_unsafe', details: { cause: LOST_BECAUSE[by] } })
      t.match(unsafe.events.at(-1)?.message, /^Rolling back is not safe any more: /)
      await t.rejects(ground.catalog.operations.requestRollback(id), { code: 'rollback_unsafe' })
      await ground.catalog.operations.requestFinalize(id)
      const ended = await ground.ended(id)
      await engine.stop()
      t.equal(ended.phase, 'completed', said(ended))
      t.equal((await tenantContent(silo(ended), tenant.id)).orders?.length, 50)
      t.same(await tenantContent(pool, tenant.id), {})
      t.same(await leftovers(ended, { home: true }), [])
    },
  )

  t.test(
    `a server that refuses for a while is the trouble of the window, and not its end, by ${by}`,
    async (t) => {
      const tenant = await ground.tenant(`refused-${by}`, 50)
      const { move, engine } = await openWindow(ground, tenant, 'eu', by)
      const role = (change: string) => sql(pool, `alter role freehold_mover ${change}`)
      for (const { what, begin, end } of [
        {
          what: 'another password',
          begin: () => role("password 'changed'"),
          end: () => role(`password ${quoteLiteral(ground.us.passwords.freehold_mover)}`),
        },
        {
          what: 'too many connections',
          begin: () => role('connection limit 0'),
          end: () => role('connection limit -1'),
        },
        {
          what: 'a right that was taken',
          begin: () => sql(pool, 'revoke update, insert on customers from freehold_mover'),
          end: () => sql(pool, 'grant update, insert on customers to freehold_mover'),
        },
      ]) {
        await begin()
        t.teardown(end)
        await sql(silo(move), `update customers set name = '${what}'`)
        await keepFailing(ground, move.id, 9)
        const { rollback } = await ground.catalog.moves.get(move.id)
        t.match(rollback, { state: 'open', problem: null, trouble: { code: 'database_unavailable' } }, what)
        t.ok(Date.parse(rollback?.trouble?.since ?? '') < Date.now(), 'told is since when')
        await end()
        await moveThat(ground, move.id, (now) => now.rollback?.trouble === null)
        t.same(
          await tenantContent(pool, tenant.id),
          await tenantContent(silo(move), tenant.id),
          'in step again',
        )
      }
      await ground.catalog.operations.requestRollback(move.id)
      const ended = await ground.ended(move.id, PATIENCE_MS)
      await engine.stop()
      t.equal(ended.phase, 'rolled_back', said(ended))
    },
  )

  t.test(
    `a transaction that takes longer than a turn of the window is carried back all the same, by ${by}`,
    async (t) => {
      const tenant = await ground.tenant(`bulky-${by}`, 10)
      const hasty = { soakIntervalMs: 10, catchUpTurnMs: 20 }
      const { move, engine } = await openWindow(ground, tenant, 'eu', by, hasty)
      await sql(
        silo(move),
        `insert into customers (tenant_id, email, name)
     select '${tenant.id}', 'bulk' || n || '@x.test', 'bulk' from generate_series(1, 20000) n`,
      )
      const carried = async () =>
        (await sql(pool, `select from customers where tenant_id = '${tenant.id}'`)).rowCount === 20_010
      for (let turns = 0; turns < 20 && !(await carried()); turns++) await soaked(ground, move.id)
      t.ok(await carried())
      await ground.catalog.operations.requestFinalize(move.id)
      t.equal((await ground.ended(move.id, PATIENCE_MS)).phase, 'completed')
      await engine.stop()
    },
  )

  t.test(`a table that nobody declared is in the way of no window and of no purge, by ${by}`, async (t) => {
    const tenant = await ground.tenant(`beside-${by}`, 50)
    const { move, engine } = await openWindow(ground, tenant, 'eu', by)
    t.teardown(() => sql(pool, 'drop table stray_backup'))
    await sql(pool, 'create table stray_backup (id int)')
    await sql(silo(move), "update customers set name = 'changed'")
    await soaked(ground, move.id)
    t.same(await tenantContent(pool, tenant.id), await tenantContent(silo(move), tenant.id), 'kept in step')

    // Where the tenant lives it may have rows in such a table: nothing is carried back until that is settled.
    await sql(silo(move), 'create table stray (id int)')
    await keepFailing(ground, move.id, 9)
    t.match((await ground.catalog.moves.get(move.id)).rollback, {
      state: 'open',
      trouble: { code: 'table_without_tenant_column', reason: /stray is declared neither/ },
    })
    await sql(silo(move), 'drop table stray')
    await moveThat(ground, move.id, (now) => now.rollback?.trouble === null)
    await ground.catalog.operations.requestFinalize(move.id)
    const ended = await ground.ended(move.id, PATIENCE_MS)
    await engine.stop()
    t.equal(ended.phase, 'completed', said(ended))
    t.same(await tenantContent(pool, tenant.id), {})
  })

  t.test(`a copy that begins anew has a way back of its own, by ${by}`, async (t) => {
    const tenant = await ground.tenant(`anew-${by}`, 50)
    let changed = false
    const engine = ground.engine({
      ...soaking,
      barrier: async (name) => {
        if (name !== 'ready.stream_back_created' || changed) return
        changed = true
        await sql(pool, 'alter table order_lines add column late text')
      },
    })
    t.teardown(() => sql(pool, 'alter table order_lines drop column if exists late'))
    engine.start()
    const { id } = await ground.startMove(tenant, 'eu', by, {}, WINDOW_SECONDS)
    const paused = await moveThat(ground, id, ({ waiting }) => waiting?.for === 'resume')
    await sql(pool, 'alter table order_lines drop column late')
    // Whoever takes it up makes the copy in another place.
    await engine.stop()
    const successor = ground.engine(soaking)
    successor.start()
    await ground.catalog.operations.resume(id, 'test')
    const open = await inWindow(ground, id)
    await soaked(ground, id)
    await sql(silo(open), "update customers set name = 'written there'")
    await ground.catalog.operations.requestRollback(id)
    const ended = await ground.ended(id, PATIENCE_MS)
    await successor.stop()
    t.match(paused.events.at(-1)?.message, /^Paused, because the tables were changed/)
    t.equal(ended.phase, 'rolled_back', said(ended))
    t.ok((await tenantContent(pool, tenant.id)).customers?.every((row) => row.includes('written there')))
    t.same(await leftovers(ended), [], 'nor is anything left of the first')
  })

  t.test(`a rollback is unsafe when the two sides are found to differ, by ${by}`, async (t) => {
    const tenant = await ground.tenant(`tampered-${by}`, 50)
    const { move, engine } = await openWindow(ground, tenant, 'eu', by)
    const { id } = move
    await withClient(pool, 'test', (client) =>
      client.query(
        "update customers set name = name || '.' where id = (select id from customers where tenant_id = $1 limit 1)",
        [tenant.id],
      ),
    )
    await ground.catalog.operations.requestRollback(id)
    const unsafe = await moveThat(
      ground,
      id,
      ({ phase, rollback }) => phase === 'soak' && rollback?.state === 'unsafe',
    )
    t.match(unsafe.rollback?.problem?.details, { cause: 'verification_failed', table: 'customers' })
    t.match(await ground.catalog.placements.home(tenant.id), { epoch: 2 }, 'the tenant stays at its new home')
    await ground.catalog.operations.requestFinalize(id)
    const ended = await ground.ended(id)
    await engine.stop()
    t.equal(ended.phase, 'completed', said(ended))
    t.same(await leftovers(ended, { home: true }), [])
  })

  t.test(
    `a window that is over is closed, and the move cannot be rolled back any more, by ${by}`,
    async (t) => {
      const tenant = await ground.tenant(`settled-${by}`, 50)
      const engine = ground.engine(soaking)
      engine.start()
      const { id } = await ground.startMove(tenant, 'eu', by, {}, 1)
      const ended = await ground.ended(id)
      await engine.stop()
      t.equal(ended.phase, 'completed', said(ended))
      t.match(ended.rollback, { seconds: 1, state: 'closed' })
      await t.rejects(ground.catalog.operations.requestRollback(id), { code: 'rollback_not_possible' })
      await t.rejects(
        ground.catalog.operations.requestFinalize(id).then(() => ground.catalog.operations.requestCancel(id)),
        {
          code: 'move_not_cancellable',
        },
      )
      t.same(await tenantContent(pool, tenant.id), {})
      t.same(await leftovers(ended, { home: true }), [])
    },
  )

  for (const { name, barriers, ends } of [
    { name: 'rolled back', barriers: ON_THE_WAY_BACK, ends: 'rolled_back' },
    { name: 'finalized', barriers: TO_THE_END, ends: 'completed' },
  ]) {
    t.test(
      `a move is ${name} by workers of which each stands still and goes on when all is over, by ${by}`,
      async (t) => {
        const tenant = await ground.tenant(`relay-${by}-${ends.replace('_', '-')}`, 100)
        const writer = startTenantWriter(reader, tenant, 2)
        const { id } = await ground.startMove(tenant, 'eu', by, {}, WINDOW_SECONDS)
        const ended = await relay(ground, id, barriers, async (barrier) => {
          if (barrier !== 'soak.applying') return
          if (ends === 'completed') await ground.catalog.operations.requestFinalize(id)
          else await ground.catalog.operations.requestRollback(id)
        })
        const report = await writer.stop()

        t.equal(ended.phase, ends, said(ended))
        t.same(report.failures, [], 'no write failed')
        t.ok(report.acknowledged > 0, 'the tenant was written to')
        const home = ends === 'completed' ? silo(ended) : pool
        t.same(await report.differences(home), [], 'nothing lost or doubled')
        t.equal((await tenantContent(home, tenant.id)).orders?.length, 100)
        if (ends === 'completed')
          t.same(await tenantContent(pool, tenant.id), {}, 'the pool holds none of it')
        t.equal(await residency(pool, tenant), ends === 'completed' ? 'moved' : 'active')
        t.same(await leftovers(ended, { home: ends === 'completed' }), [], 'nothing is left behind')
      },
    )
  }
}

const sql = (address: DatabaseAddress, text: string) =>
  withClient(address, 'test', (client) => client.query(text))

/** What somebody may do to the stream back at the tenant's home. */
const loseStreamBack = {
  async logical() {
    await withClient(asSuperuser(ground.eu.cluster, 'postgres'), 'test', async (client) => {
      await client.query('select pg_terminate_backend(active_pid) from pg_replication_slots where active')
      await client.query(
        'select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active',
      )
    })
  },
  async triggers(move: Move) {
    await sql(silo(move), 'alter table orders disable trigger user')
  },
}
const LOST_BECAUSE = { logical: 'change_stream_failed', triggers: 'schema_mismatch' } as const

async function residency(database: DatabaseAddress, tenant: Tenant): Promise<unknown> {
  return withClient(database, 'test', async (client) => {
    const found = await client.query('select state from freehold.resident where tenant_id = $1', [tenant.id])
    return found.rows[0]?.state
  })
}

/** What a move that has ended has left, but for the database that has become the tenant's home. */
async function leftovers({ to }: MoveDetail, { home = false } = {}): Promise<unknown[]> {
  const list = (address: DatabaseAddress, sql: string) =>
    withClient(address, 'test', async (client) => (await client.query(sql)).rows)
  const slots = 'select slot_name from pg_replication_slots'
  return [
    ...(await ground.catalog.ledger.unreleased()),
    ...(await list(pool, slots)),
    ...(await moveTraces(pool)),
    ...(await list(asSuperuser(ground.eu.cluster, 'postgres'), slots)),
    ...(home
      ? await moveTraces(asSuperuser(ground.eu.cluster, to.database))
      : await list(
          asSuperuser(ground.eu.cluster, 'postgres'),
          `select datname from pg_database where datname = '${to.database}'`,
        )),
  ]
}
