import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { regionIdSchema } from '@freehold/contract'
import { createRouter, currentTenantIfAny, runAsTenant, tenantLogFields } from '@freehold/tenancy'
import { tenantQueue, tenantWorker } from '@freehold/tenancy/jobs'
import t from 'tap'
import { z } from 'zod'
import { startTestRedis } from '../../../test/kit/redis.ts'
import { newTenantId, testEntrySecret } from '../../../test/kit/tenants.ts'
import { until } from '../../../test/kit/until.ts'
import { openBackend } from '../src/jobs/queue-backend.ts'
import { queueOf, RegionQueues } from '../src/jobs/region-queues.ts'
import { count, east, prepareJobsGround, TIMEOUT_MS } from './jobs-ground.ts'

t.setTimeout(2 * TIMEOUT_MS)
const ground = await prepareJobsGround('jobs')
t.teardown(() => ground.remove())
const { source, router, newTenant, change } = ground

const europe = regionIdSchema.parse('eu-central')

for (const [kindName, kind] of Object.entries(ground.kinds)) {
  t.test(kindName, { timeout: TIMEOUT_MS }, async (t) => {
    const { here, newName, newQueue, newWorker } = await ground.use(kind)

    t.test('a job runs as the tenant as whom it was put in', async (t) => {
      const name = newName()
      const queue = newQueue<{ n: number }>(name, { payload: z.object({ n: z.number() }) })
      const [one, two] = [await newTenant(), await newTenant()]
      const seen: Record<string, unknown>[] = []
      // Made inside a tenant, as on first use in a request: the worker still belongs to nobody.
      const { runs } = await runAsTenant(router, one, async () =>
        newWorker(t, name, {
          async work({ db, tenant, payload, id, name: jobName }) {
            const { n } = z.object({ n: z.number() }).parse(payload)
            await db.insertInto('items').values({ id: n, name: id }).execute()
            const rows = await db.selectFrom('items').select('name').execute()
            seen.push({ tenant: tenant.id, rows: rows.length, fields: tenantLogFields(), jobName })
          },
        }),
      )
      for (const tenant of [one, two]) await runAsTenant(router, tenant, () => queue.add('insert', { n: 1 }))
      await queue.forTenant(two).addMany([{ name: 'insert', payload: { n: 2 } }])
      await until(() => seen.length === 3)
      t.same(count(runs.map((run) => run.tenant)), { [one]: 1, [two]: 2 })
      for (const { tenant, fields, jobName } of seen) {
        t.same(fields, { 'tenant.id': tenant })
        t.equal(jobName, 'insert')
      }
      t.equal((await router.forTenant(one).selectFrom('items').selectAll().execute()).length, 1)
      t.equal((await router.forTenant(two).selectFrom('items').selectAll().execute()).length, 2)
      t.equal(currentTenantIfAny(), undefined)
      const contents = await here.contents()
      t.match(contents, one)
      t.notMatch(contents, /secret|password|address|entry/i, 'a job holds the tenant and the payload')

      await t.rejects(queue.add('insert', { n: 1 }), { code: 'tenant_context_missing' })
      await runAsTenant(router, one, async () => {
        await t.rejects(queue.forTenant(two).add('insert', { n: 1 }), { code: 'tenant_fixed' })
      })
      await t.rejects(queue.forTenant(newTenantId()).add('insert', { n: 1 }), { code: 'tenant_not_found' })
      const mine = queue.forTenant(one)
      await t.rejects(mine.add('', { n: 1 }), { code: 'invalid_request' })
      await t.rejects(mine.add('x'.repeat(101), { n: 1 }), { code: 'invalid_request' })
      await t.rejects(mine.add('insert', JSON.parse('{"n":"1"}')), {
        code: 'invalid_request',
        issues: [{ path: 'payload.n' }],
      })
      const free = newQueue(name, { maxPayloadBytes: 100 }).forTenant(one)
      await t.rejects(free.add('insert', 'x'.repeat(101)), { code: 'invalid_request' })
      await t.rejects(free.add('insert', { text: 'a\0b' }), { code: 'invalid_request' })
      await t.rejects(free.add('insert', undefined), { code: 'invalid_request' })
    })

    t.test('the job of a tenant that is suspended or gone fails for good, without running', async (t) => {
      const name = newName()
      const queue = newQueue(name)
      const [suspended, gone, active] = [await newTenant(), await newTenant(), await newTenant()]
      for (const tenant of [active, suspended, gone, active])
        await queue.forTenant(tenant).add('job', {}, { attempts: 5 })
      change(suspended, { status: 'suspended' })
      change(gone, null)
      const { runs, errors } = newWorker(t, name)
      await until(() => runs.length === 2 && errors.length === 2)
      t.same(
        runs.map((run) => run.tenant),
        [active, active],
      )
      t.same(errors.map((error) => error.message.split(':')[0]).toSorted(), [
        'tenant_not_found',
        'tenant_suspended',
      ])
      t.match(
        errors.map((error) => error.cause).find((cause) => cause instanceof Error && 'code' in cause),
        { name: 'FreeholdError' },
      )
      await t.rejects(queue.forTenant(suspended).add('job', {}), { code: 'tenant_suspended' })
      change(suspended, {})
      await queue.forTenant(suspended).add('job', 'later')
      await until(() => runs.length === 3)
      t.same(
        runs[2],
        { tenant: suspended, payload: 'later', attempt: 1 },
        'what was refused does not come back',
      )
    })

    t.test('a retry keeps its tenant', async (t) => {
      const name = newName()
      const queue = newQueue(name)
      const tenants = [await newTenant(), await newTenant()]
      const done: string[] = []
      const { runs } = newWorker(t, name, {
        shares: { default: 1 },
        async work({ attempt, tenant }) {
          if (attempt < 3) throw new Error('not yet')
          done.push(tenant.id)
        },
      })
      for (const tenant of tenants) {
        for (const payload of [1, 2])
          await queue.forTenant(tenant).add('job', payload, { attempts: 3, backoffMs: 100 })
      }
      await until(() => done.length === 4)
      for (const tenant of tenants) {
        const attempts = runs.filter((run) => run.tenant === tenant).map((run) => run.attempt)
        t.same(attempts.toSorted(), [1, 1, 2, 2, 3, 3])
      }
    })

    t.test('a job that was not put in by us, or holds what it must not, is refused', async (t) => {
      const name = newName()
      const tenant = await newTenant()
      await newQueue(name).forTenant(tenant).add('job', { n: 'not a number' })
      const backend = openBackend(here.location, () => undefined)
      const queue = backend.openQueue(`${name}.${east}`)
      t.teardown(async () => {
        await queue.close()
        await backend.close()
      })
      const opts = {
        jobId: randomUUID(),
        attempts: 5,
        backoff: { type: 'exponential', delay: 100 },
        delay: 0,
      } as const
      await queue.addBulk([
        { name: 'forged', data: { payload: 1 }, opts },
        { name: 'forged', data: { tenant: "x' or 1=1", payload: 1 }, opts: { ...opts, jobId: randomUUID() } },
        { name: 'forged', data: { tenant, payload: 1, db: 'other' }, opts: { ...opts, jobId: randomUUID() } },
      ])
      const { runs, errors } = newWorker(t, name, { payload: z.object({ n: z.number() }) })
      await until(() => errors.length === 4)
      t.same(runs, [])
      for (const error of errors) t.match(error.message, /^invalid_request/)
    })

    t.test('a tenant in a silo has a queue of its own, which workers find', async (t) => {
      const name = newName()
      const queue = newQueue(name)
      const gate = Promise.withResolvers<void>()
      const { runs } = newWorker(t, name, {
        concurrency: 2,
        sweepMs: 50,
        work: ({ tenant }) => (tenant.isolation === 'silo' ? Promise.resolve() : gate.promise),
      })
      const [one, two, silo] = [await newTenant(), await newTenant(), await newTenant({ isolation: 'silo' })]
      for (const tenant of [one, two]) await queue.forTenant(tenant).add('job', 'blocks')
      await until(() => runs.length === 2)
      await queue.forTenant(one).add('job', 'waits for the pool')
      await queue.forTenant(silo).add('job', 'does not')
      await until(() => runs.length === 3)
      t.same(runs[2], { tenant: silo, payload: 'does not', attempt: 1 })
      gate.resolve()
      await until(() => runs.length === 4)

      const backend = openBackend(here.location, () => undefined)
      t.teardown(() => backend.close())
      const queues = () => backend.tickets.queues(`${name}.${east}`)
      t.same(await queues(), [queueOf(name, await router.tenant(silo))])
      change(silo, {})
      await until(async () => (await queues()).length === 0)
      await queue.forTenant(silo).add('job', 'in the pool again')
      await until(() => runs.length === 5)
    })

    t.test('jobs stay in their region, and go after a tenant that moves', async (t) => {
      const there = await kind.start()
      const both = { [east]: here.location, [europe]: there.location }
      const name = newName()
      const queue = newQueue(name, { regions: both })
      const [american, european] = [await newTenant(), await newTenant({ region: europe })]
      await queue.forTenant(american).add('job', 'in America')
      await queue.forTenant(european).add('job', 'in Europe')
      t.match(await there.contents(), european)
      t.notMatch(await there.contents(), american)
      t.notMatch(await here.contents(), european)
      const elsewhere = await newTenant({ region: regionIdSchema.parse('ap-south') })
      await t.rejects(queue.forTenant(elsewhere).add('job', 1), { code: 'region_not_served' })

      const promoted = await newTenant()
      await queue.forTenant(promoted).add('job', 'in a silo')
      change(promoted, { isolation: 'silo' })
      change(european, { region: east })
      change(american, { region: europe })
      const { runs, worker } = newWorker(t, name, { regions: both })
      await until(() => runs.length === 3)
      await worker.close()
      t.same(
        Object.fromEntries(runs.map((run) => [run.tenant, run.payload])),
        { [american]: 'in America', [european]: 'in Europe', [promoted]: 'in a silo' },
        'each once, wherever its tenant is now',
      )
      t.equal(runs.length, 3)
      t.match(await there.contents(), american, 'it ran from the queue where it belongs')

      change(european, { region: europe })
      await queue.forTenant(european).add('job', 'left behind')
      change(european, { region: east })
      const single = newWorker(t, name, { regions: { [europe]: there.location } })
      await until(() => single.errors.length > 0)
      t.match(
        single.errors[0]?.message,
        /^region_not_served/,
        'a worker that cannot reach the region does not run it',
      )
      t.same(single.runs, [])
    })

    t.test('what a crash leaves behind is found', async (t) => {
      const name = newName()
      const tenant = await newTenant()
      const queue = queueOf(name, await router.tenant(tenant))
      const backend = openBackend(here.location, () => undefined)
      const queues = new RegionQueues(name, backend)
      t.teardown(() => queues.close())
      const line = { queue, tenantId: tenant, share: 2 }
      // Somebody got places for jobs that were never put in, and somebody put one in and did not come to let it in.
      const opts = { attempts: 1, backoff: { type: 'exponential', delay: 100 }, delay: 10_000_000 } as const
      const stranded = randomUUID()
      await queues
        .queue(queue)
        .addBulk([{ name: 'job', data: { tenant, payload: 'stranded' }, opts: { ...opts, jobId: stranded } }])
      t.same(await backend.tickets.admit(line, ['ghost', stranded]), ['ghost', stranded])
      await newQueue(name, { shares: { default: 2 } })
        .forTenant(tenant)
        .add('job', 'behind them')
      const { runs } = newWorker(t, name, { shares: { default: 2 }, sweepMs: 50 })
      await until(() => runs.length === 2)
      t.same(runs.map((run) => run.payload).toSorted(), ['behind them', 'stranded'])
    })

    t.test('while the catalog is away, a job waits and loses no attempt', async (t) => {
      const name = newName()
      const tenant = await newTenant()
      const queue = newQueue(name)
      await queue.forTenant(tenant).add('job', 1, { attempts: 1 })
      const cold = createRouter({ source, entrySecret: testEntrySecret })
      t.teardown(() => cold.close())
      source.failure = new Error('away')
      const { runs, errors } = newWorker(t, name, { router: cold })
      await sleep(300)
      t.same(runs, [])
      source.failure = undefined
      await until(() => runs.length === 1)
      t.same(errors, [])
    })

    t.test('closing lets jobs finish until the deadline, and tells the others to stop', async (t) => {
      const name = newName()
      const tenant = await newTenant()
      const queue = newQueue(name)
      const [gate, stopped] = [Promise.withResolvers<void>(), Promise.withResolvers<unknown>()]
      let finished = false
      const first = newWorker(t, name, {
        async work() {
          await gate.promise
          await sleep(50)
          finished = true
        },
      })
      await queue.forTenant(tenant).add('job', 'short')
      await until(() => first.runs.length === 1)
      const closing = first.worker.close(30_000)
      await queue.forTenant(tenant).add('job', 'long')
      gate.resolve()
      await closing
      t.ok(finished)
      t.equal(first.runs.length, 1, 'a worker that closes takes no more')
      t.same(first.errors, [])
      const second = newWorker(t, name, {
        work: ({ signal }) =>
          new Promise(() => signal.addEventListener('abort', () => stopped.resolve(signal.reason))),
      })
      await until(() => second.runs.length === 1)
      await second.worker.close(50)
      await stopped.promise
    })
  })
}

t.test('a queue that is away is reported, and used again when it is back', async (t) => {
  const redis = await startTestRedis()
  t.teardown(() => redis.remove())
  const queue = tenantQueue({ router, name: 'away', regions: { [east]: { redisUrl: redis.url } } })
  t.teardown(() => queue.close())
  const sender = queue.forTenant(await newTenant())
  await sender.add('job', 1)
  await redis.kill()
  await t.rejects(sender.add('job', 2), { code: 'queue_unavailable' })
  await redis.start()
  await until(() =>
    sender.add('job', 3).then(
      () => true,
      () => false,
    ),
  )
})

t.test('options are checked, and no message holds a password', async (t) => {
  for (const options of [
    { name: 'With Capitals' },
    { regions: { [east]: { redisUrl: 'http://user:hidden@127.0.0.1' } } },
    { shares: { free: 0 } },
    { maxWaiting: { free: 0 } },
  ]) {
    const all = { router, name: 'fine', regions: { [east]: { redisUrl: 'redis://127.0.0.1:1' } }, ...options }
    t.throws(() => tenantQueue(all), { code: 'config_invalid', message: /^((?!hidden).)*$/ })
    t.throws(() => tenantWorker({ ...all, handler: async () => undefined }), { code: 'config_invalid' })
  }
})
