import { type MoveDetail, type MoveTarget, moveTargetSchema, type Tenant } from '@freehold/contract'
import { withClient } from '@freehold/postgres'
import t, { type Test } from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { haltAt } from '../kit/halt-at.ts'
import { type MovingGround, prepareMovingGround } from '../kit/moving-ground.ts'
import { expireLease } from '../kit/relay.ts'
import { contentAt, copyOfTenant, databaseOf } from '../kit/tenant-places.ts'
import { startTenantWriter } from '../kit/tenant-writer.ts'
import { leftovers } from './leftovers.ts'

/** Rows of the target that differ are repaired when that was asked for: those and no others. docs/protocol.md says how. */
const ground: MovingGround = await prepareMovingGround()
t.teardown(() => ground.remove())
t.setTimeout(240_000)
const reader = ground.us.as('freehold_reader', 'freehold_catalog')
const silo = moveTargetSchema.parse({ isolation: 'silo', region: 'eu' })
const pool = moveTargetSchema.parse({ isolation: 'pool', region: 'eu' })
const CUSTOMERS = 300

/** A bit, a missing row and a row too many, in rows that no writer of the tests touches. */
const DAMAGE = `
  update orders set total = total + 1 where tenant_id = ':tenant' and id = (select id from orders where tenant_id = ':tenant' order by id limit 1);
  delete from customers where tenant_id = ':tenant' and email in ('c5@example.test', 'c6@example.test');
  insert into customers (tenant_id, id, email, name)
    values (':tenant', '00000000-0000-4000-8000-000000000001', 'extra@example.test', 'extra')`
const DAMAGED = 'customers: 2 missing, 1 too many; orders: 1 with other values'

interface Case {
  readonly to?: MoveTarget
  readonly stream?: 'logical' | 'triggers'
  readonly repair?: boolean
  /** What happens at barriers, once at each. */
  readonly at: Readonly<Record<string, (move: MoveDetail) => Promise<void>>>
}

/** Moves a tenant that is written to; @returns the ended move, and what differs from what was acknowledged. */
async function moved(tenant: Tenant, { to = silo, stream, repair = true, at }: Case) {
  const writer = startTenantWriter(reader, tenant, 2, { writesPerSecond: 100 })
  const due = new Map(Object.entries(at))
  const sides: Record<string, string[]>[] = []
  const started = await ground.startMove(tenant, to, stream, { repair })
  const engine = ground.engine({
    barrier: async (name) => {
      const move = await ground.catalog.moves.detail(started.id)
      if (name === 'cutover.retired') {
        sides.push(await contentAt(ground, tenant.id, move.from), await contentAt(ground, tenant.id, move.to))
      }
      const work = due.get(name)
      due.delete(name)
      await work?.(move)
    },
  })
  engine.start()
  const ended = await ground.ended(started.id)
  await engine.stop()
  const report = await writer.stop()
  const home = await ground.catalog.placements.home(tenant.id)
  const lost = await report.differences(databaseOf(ground, home), home.schema)
  return { ended, sides, problems: [...report.failures, ...lost], missed: [...due.keys()] }
}

const atTarget = ({ to }: MoveDetail, tenant: Tenant, statement: string) =>
  withClient(asSuperuser(ground.eu.cluster, to.database), 'test', async (client) => {
    await client.query("set session_replication_role = 'replica'")
    return client.query(statement.replaceAll(':tenant', tenant.id))
  })
const atSource = (tenant: Tenant, statement: string) =>
  withClient(asSuperuser(ground.us.cluster, 'pool'), 'test', (client) =>
    client.query(statement.replaceAll(':tenant', tenant.id)),
  )
const timeline = ({ events }: MoveDetail) => events.map(({ message }) => message)
const repairs = (ended: MoveDetail) => timeline(ended).filter((message) => /are repaired/.test(message))

function isRepaired(t: Test, result: Awaited<ReturnType<typeof moved>>, rows: number) {
  const { ended, sides, problems, missed } = result
  t.equal(ended.phase, 'completed', { timeline: timeline(ended) })
  t.match(ended, { repair: true, progress: { repairedRows: rows, verification: { mismatches: 0 } } })
  t.same(sides[0], sides[1], 'both sides were equal when the home changed')
  t.same([...problems, ...missed], [], 'no write failed and none was lost')
}

for (const [name, to, stream] of [
  ['a silo', silo, 'logical'],
  ['a pool, followed by triggers', pool, 'triggers'],
] as const) {
  t.test(`rows that differ in ${name} are rewritten, and nobody else's`, async (t) => {
    const tenant = await ground.tenant(`damaged-${stream}`, CUSTOMERS)
    const twin = await copyOfTenant(ground, tenant, 'eu')
    const before = await contentAt(ground, twin.id, twin.placement)
    const result = await moved(tenant, {
      to,
      stream,
      at: {
        'verify.entered': async (move) => {
          await atTarget(move, tenant, DAMAGE)
        },
      },
    })
    isRepaired(t, result, 4)
    t.same(repairs(result.ended), [`Rows of the target are repaired: ${DAMAGED}.`])
    t.notMatch(timeline(result.ended).join(), /example\.test/, 'the timeline names no row')
    t.same(await contentAt(ground, twin.id, twin.placement), before, 'the others have what they had')
  })
}

t.test('what is written at the source while its row is repaired comes on top of the repair', async (t) => {
  const tenant = await ground.tenant('overtaken', CUSTOMERS)
  const result = await moved(tenant, {
    at: {
      'verify.entered': async (move) => {
        await atTarget(move, tenant, DAMAGE)
      },
      // The point has been taken and the rows are known: everything about them changes before they are rewritten.
      'verify.repair_begun': async () => {
        await atSource(
          tenant,
          `update orders set total = 4711 where tenant_id = ':tenant' and id = (select id from orders where tenant_id = ':tenant' order by id limit 1);
           update customers set name = 'changed meanwhile' where tenant_id = ':tenant' and email = 'c5@example.test';
           update customers set email = 'c6@new.test' where tenant_id = ':tenant' and email = 'c6@example.test';
           insert into customers (tenant_id, id, email, name)
             values (':tenant', '00000000-0000-4000-8000-000000000001', 'extra@example.test', 'the true one')`,
        )
      },
    },
  })
  isRepaired(t, result, 4)
  t.match(result.sides[1]?.customers?.join(), /changed meanwhile.*/)
  t.match(result.sides[1]?.customers?.join(), /the true one/)
  t.notMatch(result.sides[1]?.customers?.join(), /"c6@example\.test/)
})

t.test('a worker that is lost within a repair leaves it to the next', async (t) => {
  const tenant = await ground.tenant('interrupted', CUSTOMERS)
  const name = (is: string) =>
    `update customers set name = '${is}' where tenant_id = ':tenant' and email = 'c5@example.test'`
  const halt = haltAt('verify.repair_begun')
  const started = await ground.startMove(tenant, silo, 'logical', { repair: true })
  const slow = ground.engine({
    leaseMs: 600_000,
    barrier: async (at) => {
      if (at === 'verify.entered') {
        await atTarget(await ground.catalog.moves.detail(started.id), tenant, name('wrong'))
      }
      return halt.barrier(at)
    },
  })
  const slowRun = slow.nudge(started.id)
  await halt.reached
  await withClient(asSuperuser(ground.us.cluster, 'freehold_catalog'), 'test', (client) =>
    client.query('update catalog.operations set lease_expires_at = clock_timestamp() where id = $1', [
      started.id,
    ]),
  )
  const next = ground.engine()
  next.start()
  const ended = await ground.ended(started.id)
  await atTarget(ended, tenant, name('written since'))
  halt.goOn()
  await slowRun
  await Promise.all([slow.stop(), next.stop()])
  t.equal(ended.phase, 'completed', { timeline: timeline(ended) })
  t.equal(repairs(ended).length, 1)
  const content = await contentAt(ground, tenant.id, ended.to)
  t.equal(
    content.customers?.filter((row) => row.includes('written since')).length,
    1,
    'the slow worker has written nothing',
  )
})

t.test('a worker that has lost the claim of the target repairs nothing there', async (t) => {
  const tenant = await ground.tenant('claimed', CUSTOMERS)
  const started = await ground.startMove(tenant, silo, 'logical', { repair: true })
  const claim = (token: number) => `update freehold.applied set fencing_token = ${token}`
  const at: Record<string, string> = { 'verify.entered': DAMAGE, 'verify.repair_begun': claim(1_000) }
  const passed: string[] = []
  const slow = ground.engine({
    barrier: async (name) => {
      passed.push(name)
      const statement = at[name]
      if (statement !== undefined) {
        await atTarget(await ground.catalog.moves.detail(started.id), tenant, statement)
      }
    },
  })
  await slow.nudge(started.id)
  await slow.stop()
  t.equal(passed.at(-1), 'verify.repair_begun')
  const move = await ground.catalog.moves.detail(started.id)
  const content = await contentAt(ground, tenant.id, move.to)
  t.match(content.customers?.join(), /extra@example\.test/, 'what differed does so still')

  await atTarget(move, tenant, claim(1))
  await expireLease(ground, started.id)
  const next = ground.engine()
  next.start()
  const ended = await ground.ended(started.id, 300_000)
  await next.stop()
  t.equal(ended.phase, 'completed', { timeline: timeline(ended) })
  t.equal(repairs(ended).length, 1, 'whoever has it repairs')
})

t.test('differences that come back end the move', async (t) => {
  const tenant = await ground.tenant('damaged-again', CUSTOMERS)
  const damage = async (move: MoveDetail) => {
    await atTarget(move, tenant, DAMAGE)
  }
  const { ended, problems } = await moved(tenant, {
    at: { 'verify.entered': damage, 'verify.repaired': damage },
  })
  t.match(ended, { phase: 'aborted', error: { code: 'verification_failed' } })
  t.match(ended.error?.details, { table: 'customers', missingRows: 2, extraRows: 1, changedRows: 0 })
  t.equal(repairs(ended).length, 1)
  t.same([...problems, ...(await leftovers(ground, ended))], [])
})

t.test('without the option nothing is changed', async (t) => {
  const tenant = await ground.tenant('untouched', CUSTOMERS)
  const { ended, sides, problems } = await moved(tenant, {
    repair: false,
    at: {
      'verify.entered': async (move) => {
        await atTarget(move, tenant, DAMAGE)
      },
      'aborting.entered': async (move) => {
        const found = await atTarget(
          move,
          tenant,
          `select count(*)::int as count from customers where tenant_id = ':tenant' and email ~ '^(c5|c6|extra)@'`,
        )
        t.same(found.rows, [{ count: 1 }], 'as it was damaged')
      },
    },
  })
  t.match(ended, { phase: 'aborted', repair: false, error: { code: 'verification_failed' } })
  t.match(ended.error?.detail, /; of those at the target 2 missing, 1 too many\.$/)
  t.equal(ended.progress.repairedRows, 0)
  t.same([...sides, ...problems, ...(await leftovers(ground, ended))], [])
})

t.test("another tenant's row is not repaired: it ends the move", async (t) => {
  const tenant = await ground.tenant('beside-foreign', CUSTOMERS)
  const stranger = await ground.tenant('stranger', 1)
  let foreign: unknown[] = []
  const { ended, problems } = await moved(tenant, {
    at: {
      'verify.entered': async (move) => {
        await atTarget(
          move,
          tenant,
          `update customers set tenant_id = '${stranger.id}', name = 'foreign' where email = 'c7@example.test'`,
        )
      },
      'aborting.entered': async (move) => {
        const found = await atTarget(
          move,
          tenant,
          `select name from customers where tenant_id = '${stranger.id}'`,
        )
        foreign = found.rows
      },
    },
  })
  t.match(ended, {
    phase: 'aborted',
    error: { code: 'verification_failed', detail: /another tenant's rows/ },
  })
  t.same(repairs(ended), ['Rows of the target are repaired: customers: 1 missing.'])
  t.same(foreign, [{ name: 'foreign' }], 'it is as it was')
  t.same([...problems, ...(await leftovers(ground, ended))], [])
})

t.test('a row that differs under the fence is verified and repaired before another switch', async (t) => {
  const tenant = await ground.tenant('damaged-late', CUSTOMERS)
  const result = await moved(tenant, {
    at: {
      'ready.entered': async () => {
        await atSource(
          tenant,
          "update customers set name = 'late' where tenant_id = ':tenant' and email = 'c8@example.test'",
        )
      },
      'cutover.intended': async (move) => {
        await atTarget(
          move,
          tenant,
          "update customers set name = 'tampered' where tenant_id = ':tenant' and email like '%@writer.test'; delete from customers where email = 'c9@example.test'",
        )
      },
    },
  })
  t.equal(result.ended.phase, 'completed', { timeline: timeline(result.ended) })
  t.same(result.sides[0], result.sides[1], 'both sides were equal when the home changed')
  t.same([...result.problems, ...result.missed], [])
  t.equal(repairs(result.ended).length, 1)
  t.equal(result.ended.progress.cutoverAttempts, 2, 'the first attempt was called off')
})

t.test('rows that are not what they were found to be are not rewritten', async (t) => {
  const tenant = await ground.tenant('meddled-with', CUSTOMERS)
  const { ended, problems } = await moved(tenant, {
    at: {
      'verify.entered': async (move) => {
        await atTarget(move, tenant, DAMAGE)
      },
      'verify.repair_begun': async (move) => {
        await atTarget(move, tenant, "delete from customers where email = 'extra@example.test'")
      },
    },
  })
  t.match(ended, { phase: 'aborted', error: { code: 'verification_failed' }, progress: { repairedRows: 0 } })
  t.same([...repairs(ended), ...problems], [])
})

/** Customers without orders; the first has a value that an update does not carry unless it changes it. */
const LONERS = `
  insert into customers (tenant_id, email, name)
  select ':tenant', 'm' || n || '@example.test',
    case n when 1 then (select string_agg(md5(random()::text), '') from generate_series(1, 800)) else 'lone' end
  from generate_series(1, 9) n`
/** What the target loses, and what it has too many: a row by its key, and two by what is unique of theirs. */
const MISFITS = `
  delete from customers where tenant_id = ':tenant' and email ~ '^m[1-6]@';
  insert into customers (tenant_id, id, email, name) values
    (':tenant', '00000000-0000-4000-8000-00000000000a', 'taken@example.test', 'extra'),
    (':tenant', '00000000-0000-4000-8000-00000000000b', 'extra-b@example.test', 'extra'),
    (':tenant', '00000000-0000-4000-8000-00000000000c', 'taken-too@example.test', 'extra')`
/** What is written to them at the source: changes that find no row at the target, and such as find one too many. */
const CHANGES = `
  update customers set newsletter = true where tenant_id = ':tenant' and email = 'm1@example.test';
  update customers set name = 'then deleted' where tenant_id = ':tenant' and email = 'm2@example.test';
  delete from customers where tenant_id = ':tenant' and email = 'm2@example.test';
  update customers set name = 'once' where tenant_id = ':tenant' and email = 'm3@example.test';
  update customers set name = 'twice' where tenant_id = ':tenant' and email = 'm3@example.test';
  update customers set id = gen_random_uuid() where tenant_id = ':tenant' and email = 'm4@example.test';
  delete from customers where tenant_id = ':tenant' and email = 'm5@example.test';
  update customers set id = gen_random_uuid() where tenant_id = ':tenant' and email = 'm6@example.test';
  update customers set name = 'by its new key' where tenant_id = ':tenant' and email = 'm6@example.test';
  update customers set email = 'taken-too@example.test' where tenant_id = ':tenant' and email = 'm7@example.test';
  insert into customers (tenant_id, email, name) values (':tenant', 'taken@example.test', 'the true one');
  insert into customers (tenant_id, id, email, name)
    values (':tenant', '00000000-0000-4000-8000-00000000000b', 'b@example.test', 'the true one')`
const passedOver = (ended: MoveDetail) =>
  timeline(ended).filter((message) => /did not fit what the target has/.test(message))

async function misfitTenant(slug: string): Promise<Tenant> {
  const tenant = await ground.tenant(slug, CUSTOMERS)
  await atSource(tenant, LONERS)
  return tenant
}

for (const [to, stream, changes, repaired, rows] of [
  [silo, 'logical', 12, '5 missing, 2 too many, 2 with other values', 9],
  // Rounds write rows as they are: what is missing comes by itself.
  [pool, 'triggers', 2, '2 missing, 2 too many', 4],
] as const) {
  t.test(`changes that do not fit, followed by ${stream}, are left to the repair`, async (t) => {
    const tenant = await misfitTenant(`misfits-${stream}`)
    const result = await moved(tenant, {
      to,
      stream,
      at: {
        'verify.entered': async (move) => {
          await atTarget(move, tenant, MISFITS)
          await atSource(tenant, CHANGES)
        },
      },
    })
    isRepaired(t, result, rows)
    t.match(passedOver(result.ended), [new RegExp(`customers: ${changes}\\)`)])
    t.same(repairs(result.ended), [`Rows of the target are repaired: customers: ${repaired}.`])
    t.equal(result.ended.progress.cutoverAttempts, 1)
  })

  t.test(`without the option a change that does not fit, followed by ${stream}, ends the move`, async (t) => {
    const tenant = await misfitTenant(`strict-${stream}`)
    const { ended, problems } = await moved(tenant, {
      to,
      stream,
      repair: false,
      at: {
        'verify.entered': async (move) => {
          await atTarget(move, tenant, MISFITS)
          await atSource(tenant, CHANGES)
        },
      },
    })
    t.match(ended, {
      phase: 'aborted',
      error: { code: 'verification_failed', detail: /the two have diverged/ },
      progress: { repairedRows: 0 },
    })
    t.same([...passedOver(ended), ...problems], [])
    if (to === silo) t.same(await leftovers(ground, ended), [])
  })
}

t.test(
  'a change that finds no row after the verification has everything verified again, and no fence',
  async (t) => {
    const tenant = await misfitTenant('misfits-late')
    const result = await moved(tenant, {
      at: {
        'ready.entered': async (move) => {
          await atTarget(move, tenant, MISFITS)
          await atSource(tenant, CHANGES)
        },
      },
    })
    isRepaired(t, result, 9)
    t.equal(passedOver(result.ended).length, 1)
    t.equal(result.ended.progress.cutoverAttempts, 1, 'writers did not wait for it')
  },
)

t.test('a row that is missing at the target and deleted at the source needs no repair', async (t) => {
  const tenant = await misfitTenant('misfits-gone')
  const result = await moved(tenant, {
    at: {
      'verify.entered': async (move) => {
        await atTarget(
          move,
          tenant,
          "delete from customers where email in ('m2@example.test', 'm5@example.test')",
        )
        await atSource(
          tenant,
          `update customers set name = 'then deleted' where tenant_id = ':tenant' and email = 'm2@example.test';
           delete from customers where tenant_id = ':tenant' and email in ('m2@example.test', 'm5@example.test')`,
        )
      },
    },
  })
  isRepaired(t, result, 0)
  t.same([passedOver(result.ended).length, repairs(result.ended).length], [1, 0])
})

t.test('a change that does not fit after a repair ends the move', async (t) => {
  const tenant = await misfitTenant('misfits-again')
  const misfit = async (move: MoveDetail) => {
    await atTarget(move, tenant, "delete from customers where email = 'm3@example.test'")
    await atSource(
      tenant,
      "update customers set name = 'again' where tenant_id = ':tenant' and email = 'm3@example.test'",
    )
  }
  const { ended, problems } = await moved(tenant, {
    at: { 'verify.entered': misfit, 'verify.repaired': misfit },
  })
  t.match(ended, {
    phase: 'aborted',
    error: { code: 'verification_failed', detail: /the two have diverged/ },
  })
  t.equal(repairs(ended).length, 1)
  t.same([...problems, ...(await leftovers(ground, ended))], [])
})

t.test('what differs in too many places is not repaired row by row', async (t) => {
  const tenant = await ground.tenant('all-damaged', 10)
  await atSource(
    tenant,
    `insert into products (tenant_id, sku, name, currency, price, stock)
     select ':tenant', 'many-' || n, 'n', 'EUR', 1, 1 from generate_series(1, 70000) n`,
  )
  const { ended, problems } = await moved(tenant, {
    at: {
      'verify.entered': async (move) => {
        await atTarget(move, tenant, "update products set stock = 2 where tenant_id = ':tenant'")
      },
    },
  })
  t.match(ended, {
    phase: 'aborted',
    error: { code: 'verification_failed', details: { table: 'products' } },
    progress: { repairedRows: 0 },
  })
  t.same([...repairs(ended), ...problems], [])
})
