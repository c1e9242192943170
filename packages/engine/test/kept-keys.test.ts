import { setTimeout as sleep } from 'node:timers/promises'
import type { OperationId, Tenant } from '@freehold/contract'
import { connectClient, deriveEntryKey } from '@freehold/postgres'
import type pg from 'pg'
import t, { type Test } from 'tap'
import { asSuperuser } from '../../../test/kit/databases.ts'
import { type MovingGround, prepareMovingGround, TEST_ENTRY_SECRET } from '../../../test/kit/moving-ground.ts'
import { tenantContent } from '../../../test/kit/tenant-content.ts'

/** SQL that keeps the key of an entry and sets it by itself: a move sees what it writes, or it is refused. */
const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())
const pool = asSuperuser(ground.us.cluster, 'pool')

/** A session of the product's that has kept a tenant's key, and enters by nothing. */
async function keep(t: Test, { id, placement }: Tenant): Promise<pg.Client> {
  const { dataDatabaseId, epoch } = placement
  const key = deriveEntryKey(TEST_ENTRY_SECRET, { tenantId: id, dataDatabaseId, epoch })
  const client = await connectClient(ground.us.as('freehold_app', 'pool'), 'kept-key')
  t.teardown(() => client.end())
  await client.query(
    "select set_config('freehold.entry', $1, false), set_config('freehold.tenant_id', $2, false)",
    [key, id],
  )
  return client
}

const INSERT = "insert into customers (email, name) values ('kept@example.test', 'KEPT')"

/** @returns the SQLSTATE of a refusal, or how many rows were met. */
const outcome = (client: pg.Client, text: string): Promise<number | string | null> =>
  client.query(text).then(
    ({ rowCount }) => rowCount,
    (error: unknown) => String(Object(error).code),
  )

async function told(id: OperationId, what: RegExp): Promise<boolean> {
  for (;;) {
    const { events, finishedAt } = await ground.catalog.moves.detail(id)
    if (events.some(({ message }) => what.test(message))) return true
    if (finishedAt !== null) return false
    await sleep(50)
  }
}

for (const begun of ['cutover.rehearsed', 'cutover.fenced'] as const) {
  t.test(`a write by a kept key that is begun at ${begun} is waited for`, async (t) => {
    const tenant = await ground.tenant(`waited-for-${begun.replace('.', '-')}`, 20)
    const client = await keep(t, tenant)
    let isBegun = false
    const engine = ground.engine({
      barrier: async (name) => {
        if (name !== begun || isBegun) return
        isBegun = true
        await client.query('begin')
        await client.query(INSERT)
      },
      settings: { fenceExpiryMs: 60_000 },
    })
    t.teardown(() => engine.stop())
    engine.start()
    const move = await ground.startMove(tenant)
    t.ok(await told(move.id, /A transaction of the tenant was open for more than/))
    await client.query('commit')
    const ended = await ground.ended(move.id)
    t.equal(ended.phase, 'completed', JSON.stringify(ended.error))
    const silo = await tenantContent(asSuperuser(ground.eu.cluster, ended.to.database), tenant.id)
    t.equal(silo.customers?.length, 21)
    t.same(await tenantContent(pool, tenant.id), {})
  })
}

for (const windowSeconds of [0, 3_600]) {
  t.test(
    `what a kept key is good for during and after a switch, with a window of ${windowSeconds} s`,
    async (t) => {
      const tenant = await ground.tenant(`refused-${windowSeconds}`, 20)
      const client = await keep(t, tenant)
      const found: Record<string, unknown> = {}
      const engine = ground.engine({
        barrier: async (name) => {
          if (!Object.hasOwn(expected, name) || Object.hasOwn(found, name)) return
          found[name] = [await outcome(client, INSERT), await outcome(client, 'select from customers')]
        },
        settings: { fenceExpiryMs: 60_000, soakIntervalMs: 100 },
      })
      t.teardown(() => engine.stop())
      const expected: Record<string, unknown> = {
        'cutover.drained': ['FH002', 20],
        'cutover.sealed': ['FH002', 20],
        'cutover.frozen': ['FH002', 20],
        'cutover.home_switched': ['FH002', 20],
        // The target is not open yet: nothing that is written there can be missed here.
        'cutover.retired': ['FH002', 'FH001'],
        'cutover.activated': ['FH002', 'FH001'],
        ...(windowSeconds === 0 ? {} : { 'soak.applying': ['42501', 0] }),
        'finalize.entered': windowSeconds === 0 ? ['FH001', 'FH001'] : ['42501', 0],
        'finalize.not_expected': ['FH001', 'FH001'],
        'finalize.forgotten': ['FH001', 'FH001'],
      }
      engine.start()
      const move = await ground.startMove(tenant, 'eu', 'auto', {}, windowSeconds)
      if (windowSeconds > 0) {
        await ground.endedOr(move.id, () => Object.hasOwn(found, 'soak.applying'))
        await ground.catalog.operations.requestFinalize(move.id)
      }
      const ended = await ground.ended(move.id)
      t.equal(ended.phase, 'completed', JSON.stringify(ended.error))
      t.same(found, expected)
      const silo = await tenantContent(asSuperuser(ground.eu.cluster, ended.to.database), tenant.id)
      t.equal(silo.customers?.length, 20)
      t.same(await tenantContent(pool, tenant.id), {}, 'nothing is in the way of a return')
    },
  )
}

t.test('who enters while the home is being left reads to its end, and nobody who begins later', async (t) => {
  const tenant = await ground.tenant('left', 20)
  const [entered, kept] = [await keep(t, tenant), await keep(t, tenant)]
  const gate = await connectClient(pool, 'gate')
  t.teardown(() => gate.end())
  // The old home says so when this commits; it stands before that.
  await gate.query(`
    create function hold() returns trigger language plpgsql
      as 'begin perform pg_advisory_xact_lock_shared(424242); return null; end';
    create constraint trigger hold after update on freehold.resident deferrable initially deferred for each row
      when (old.state = 'sealed' and new.state = 'moved') execute function hold();
    select pg_advisory_lock(424242)`)
  const seen: Record<string, unknown> = {}
  const engine = ground.engine({
    barrier: async (name) => {
      if (name === 'cutover.home_switched') void readWhileHeld()
      if (name !== 'cutover.retired') return
      seen['who has entered'] = await outcome(entered, 'select from customers')
      await entered.query('commit')
      for (const [who, client] of Object.entries({ entered, kept }))
        seen[who] = await outcome(client, 'select from customers')
    },
    settings: { fenceExpiryMs: 120_000 },
  })
  t.teardown(() => engine.stop())
  const readWhileHeld = async () => {
    for (let held = 0; held === 0; )
      held = (await gate.query('select from pg_locks where objid = 424242 and not granted')).rowCount ?? 0
    await entered.query('begin')
    await entered.query("select freehold.enter_reader(current_setting('freehold.entry'))")
    await gate.query('select pg_advisory_unlock(424242)')
  }
  engine.start()
  const { id } = await ground.startMove(tenant)
  t.equal((await ground.ended(id)).phase, 'completed')
  t.same(seen, { 'who has entered': 20, entered: 'FH001', kept: 'FH001' })
})
