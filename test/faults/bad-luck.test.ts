import { setTimeout as sleep } from 'node:timers/promises'
import type { Move, MoveDetail, Tenant } from '@freehold/contract'
import { quoteIdentifier, quoteLiteral, withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import type { PreparedCluster } from '../kit/control-plane.ts'
import { asSuperuser } from '../kit/databases.ts'
import { mayMount, SmallDisk } from '../kit/small-disk.ts'
import { contentAtHome, examineTenant, leftBehind } from './examine.ts'
import { dropSilo, type FaultGround, prepareFaultGround } from './fault-ground.ts'

// What no further attempt cures by itself: a clear state, a clear message, nothing lost and nothing left behind.

const CUSTOMERS = 60
const WINDOW_SECONDS = 3_600
/** It is a matter of seconds, but for the machine. */
const REACHED_WITHIN_MS = 180_000

const ground: FaultGround = await prepareFaultGround()
t.teardown(() => ground.remove())
const { worker, catalog, us, eu } = ground
let tenants = 0

t.test('a move is not cancelled once the switch has begun', async (t) => {
  const move = await unlucky(t, 'cutover.intended', async ({ id }) => {
    for (const next of ['cutover.sealed', 'finalize.entered']) {
      await t.rejects(
        catalog.operations.requestCancel(id),
        { code: 'move_not_cancellable' },
        `before ${next}`,
      )
      const stands = await worker.stopAt(next)
      worker.goOn()
      t.ok(await stands(REACHED_WITHIN_MS), next)
    }
    await t.rejects(
      catalog.operations.requestCancel(id),
      { code: 'move_not_cancellable' },
      'after the switch',
    )
    worker.goOn()
  })
  t.match(move, { phase: 'completed', error: null })
})

t.test('the target database is dropped before the switch', async (t) => {
  for (const barrier of ['verify.entered', 'cutover.entered']) {
    const ended = await unlucky(t, barrier, async (move) => {
      const { to } = await catalog.moves.detail(move.id)
      await dropSilo(eu, to.database)
      worker.goOn()
    })
    t.match(
      ended,
      { phase: 'aborted', error: { code: 'target_gone', details: { cluster: 'eu-1' } } },
      barrier,
    )
    const attempts = ended.events.filter(({ message }) => /Interrupted/.test(message)).length
    t.ok(attempts <= 1, 'it ends when the server has said so, and is not tried again and again')
  }
})

t.test('the target goes down and stays away: what is left there is removed when it is back', async (t) => {
  const ended = await unlucky(t, 'backfill.entered', async (move) => {
    await eu.cluster.kill()
    worker.goOn()
    await told(move, /Interrupted/)
    await catalog.operations.requestCancel(move.id)
    const { phase, events } = await ground.ended(move)
    t.equal(phase, 'aborted', 'without the target')
    t.match(events.at(-1)?.message, /not yet on eu-1/, 'which is told')
    const left = await catalog.ledger.unreleased()
    t.same(
      left.map(({ kind, clusterId }) => `${kind} on ${clusterId}`),
      ['database on eu-1'],
    )
    await eu.cluster.restart()
    // A worker that starts looks round at once, and need not be waited for.
    await worker.kill()
    await worker.start()
  })
  t.match(ended.error, { code: 'move_cancelled' })
})

t.test("the target's disk is full in earnest", { skip: !mayMount() && 'takes a mount' }, async (t) => {
  const disk = await SmallDisk.under(eu.cluster)
  t.teardown(() => disk.remove())
  const begun = await unlucky(t, 'backfill.entered', async (move) => {
    await disk.fill()
    worker.goOn()
    t.equal((await ground.ended(move)).phase, 'aborted')
    await disk.empty()
  })
  t.match(begun, { error: { code: 'target_without_room', details: { cluster: 'eu-1' } } })
  const followed = await unlucky(t, 'verify.entered', async (move) => {
    await disk.fill()
    worker.goOn()
    await told(move, /Interrupted.*No space left on device/)
    await disk.empty()
  })
  t.match(followed, { phase: 'completed', error: null })
})

t.test("the target's server says that its disk is full", async (t) => {
  // Also where nothing can be mounted: the server says what it says then, at the first write of the copy.
  const ended = await unlucky(t, 'dual_write.entered', async (move) => {
    const { to } = await catalog.moves.detail(move.id)
    await sql(
      eu,
      to.database,
      `create function no_room() returns trigger language plpgsql as $$
       begin raise exception using errcode = 'disk_full', message = 'could not extend file'; end $$;
       create trigger no_room before insert on freehold.applied for each row execute function no_room()`,
    )
    worker.goOn()
  })
  t.match(ended, { phase: 'aborted', error: { code: 'target_without_room', details: { cluster: 'eu-1' } } })
})

t.test(
  'a disk that is full while changes are carried over, or while the tenant is switched, is waited for',
  async (t) => {
    // What each of these tables says is written there: how far the target is, and who may switch the tenant.
    for (const [server, barrier, table] of [
      [eu, 'verify.entered', 'freehold.applied'],
      [us, 'cutover.entered', 'freehold.resident'],
    ] as const) {
      const ended = await unlucky(t, barrier, async (move) => {
        const database = server === us ? 'pool' : (await catalog.moves.detail(move.id)).to.database
        await sql(
          server,
          database,
          `create function no_room() returns trigger language plpgsql as $$
         begin raise exception using errcode = 'disk_full', message = 'could not extend file'; end $$;
         create trigger no_room before update on ${table} for each row execute function no_room();
         alter table ${table} enable always trigger no_room`,
        )
        worker.goOn()
        await told(move, /Interrupted.*could not extend file.*SQLSTATE 53100/)
        await sql(server, database, `drop function no_room() cascade`)
      })
      t.match(ended, { phase: 'completed', error: null }, `${table} on ${server.cluster.port}`)
    }
  },
)

t.test('the source gives the replication slot up', async (t) => {
  const ended = await unlucky(t, 'verify.entered', async () => {
    await loseSlot(t, us)
    worker.goOn()
  })
  t.match(ended, { phase: 'aborted', error: { code: 'change_stream_failed', detail: /slot .* is lost/ } })
})

t.test('the new home gives the slot up while the rollback window is open', async (t) => {
  const happens = async (move: Move) => {
    await loseSlot(t, eu)
    worker.goOn()
    await told(move, /Rolling back is not safe any more: Replication slot .* is lost/)
    await t.rejects(catalog.operations.requestRollback(move.id), { code: 'rollback_unsafe' })
    const { rollback } = await catalog.moves.detail(move.id)
    t.match(rollback, { state: 'unsafe' })
    await catalog.operations.requestFinalize(move.id)
  }
  const ended = await unlucky(t, 'soak.applied', happens, WINDOW_SECONDS)
  t.match(ended, { phase: 'completed', error: null })
})

t.test('a password is changed', async (t) => {
  // Each is needed from the phase on that begins at the barrier.
  for (const [server, role, barrier] of [
    [us, 'freehold_mover', 'verify.entered'],
    [eu, 'freehold_owner', 'provisioning.entered'],
  ] as const) {
    const reset = () => setPassword(server, role, server.passwords[role])
    const refused = new RegExp(`password authentication failed for user "${role}" \\(127\\.0\\.0\\.1:\\d+\\)`)
    t.teardown(reset)
    const moved = await unlucky(t, barrier, async (move) => {
      await setPassword(server, role, 'changed')
      worker.goOn()
      await told(move, refused)
      await reset()
    })
    const where = `${role} on ${server === us ? 'the source' : 'the target'}`
    t.match(moved, { phase: 'completed', error: null }, `${where}: the move goes on with the right one`)

    const unmoved = await unlucky(t, barrier, async (move) => {
      await setPassword(server, role, 'changed')
      worker.goOn()
      await told(move, refused)
      await catalog.operations.requestCancel(move.id)
      t.equal((await ground.ended(move)).phase, 'aborted', `${where}: given up without it`)
      await reset()
      await worker.kill()
      await worker.start()
    })
    t.match(unmoved.error, { code: 'move_cancelled' })
  }
})

t.test('what keeps a cancelled move from being cleaned up is told as what it is', async (t) => {
  const owner = async (role: string) => {
    const [name] = (await sql(us, 'pool', 'select pubname as name from pg_publication')).map(
      ({ name }) => name,
    )
    await sql(
      us,
      'pool',
      `alter publication ${quoteIdentifier(String(name))} owner to ${quoteIdentifier(role)}`,
    )
  }
  const ended = await unlucky(t, 'backfill.entered', async (move) => {
    await owner(us.cluster.superuser.user)
    await catalog.operations.requestCancel(move.id)
    worker.goOn()
    await told(move, /Interrupted.*SQLSTATE 42501/)
    await owner('freehold_owner')
  })
  t.match(ended, { phase: 'aborted', error: { code: 'move_cancelled' } })
})

/** Has something happen to a move while its worker stands at a barrier, and holds what comes of it against the invariants. */
async function unlucky(
  t: Test,
  barrier: string,
  happens: (move: Move, tenant: Tenant) => Promise<void>,
  windowSeconds = 0,
): Promise<MoveDetail> {
  const tenant = await ground.tenant(`unlucky-${++tenants}`, CUSTOMERS)
  const content = await contentAtHome(ground, tenant)
  const writer = ground.startWriter(tenant)
  const stands = await worker.stopAt(barrier)
  const move = await ground.startMove(tenant, 'eu', 'auto', {}, windowSeconds)
  t.ok(await stands(REACHED_WITHIN_MS), barrier)
  await happens(move, tenant)
  const ended = await ground.ended(move)
  t.ok(await writer.goesOn(REACHED_WITHIN_MS), 'the tenant is written to')
  const report = await writer.stop()
  t.same(report.failures, [], 'no write failed')
  const left = await leftBehind(ground)
  const problems = await examineTenant(ground, tenant, ended, content, report)
  t.same([...left, ...problems], [], 'nothing is lost and nothing left', {
    timeline: ended.events.map(({ phase, message }) => `${phase}: ${message}`),
  })
  t.equal(worker.deaths, 0, 'the worker has lived through it')
  if (ended.phase === 'completed') await dropSilo(eu, ended.to.database)
  return ended
}

/** Waits until the timeline of a move says something. */
async function told({ id }: Move, what: RegExp): Promise<void> {
  const deadline = performance.now() + REACHED_WITHIN_MS
  for (;;) {
    const { events } = await catalog.moves.detail(id)
    if (events.some(({ message }) => what.test(message))) return
    if (performance.now() > deadline) {
      throw new Error(`${what} was not told: ${JSON.stringify(events, null, 1)}`)
    }
    await sleep(50)
  }
}

/** Has a server give up its only slot, because it would have to keep more of its log for it than it may. */
async function loseSlot(t: Test, server: PreparedCluster): Promise<void> {
  t.teardown(() =>
    sql(server, 'postgres', 'alter system reset max_slot_wal_keep_size', 'select pg_reload_conf()'),
  )
  await sql(
    server,
    'postgres',
    "alter system set max_slot_wal_keep_size = '1MB'",
    'select pg_reload_conf()',
    ...Array.from({ length: 4 }, () => [
      "select pg_logical_emit_message(false, 'churn', repeat('x', 100))",
      'select pg_switch_wal()',
    ]).flat(),
    'checkpoint',
  )
  const slots = await sql(server, 'postgres', 'select wal_status from pg_replication_slots')
  t.same(slots, [{ wal_status: 'lost' }])
}

async function setPassword(
  server: PreparedCluster,
  role: 'freehold_mover' | 'freehold_owner',
  password: string,
): Promise<void> {
  await sql(server, 'postgres', `alter role ${role} password ${quoteLiteral(password)}`)
}

async function sql(
  { cluster }: PreparedCluster,
  database: string,
  ...statements: readonly string[]
): Promise<Record<string, unknown>[]> {
  return withClient(asSuperuser(cluster, database), 'test', async (client) => {
    let rows: Record<string, unknown>[] = []
    for (const statement of statements) rows = (await client.query(statement)).rows
    return rows
  })
}
